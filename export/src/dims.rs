//! Symbolic extents: polynomials over named sizes, fitted to what several traces measured.

use std::collections::BTreeMap;
use std::fmt;

/// The most named sizes a graph may have. A fit takes `2^symbols` traces.
pub const MAX_SYMBOLS: usize = 4;

/// A set of symbols, a bit each: the product of those sizes.
type Monomial = u16;

/// An integer polynomial over the graph's named sizes, linear in each: `text + 50`, `batch*text`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Dim {
    terms: BTreeMap<Monomial, i64>,
}

impl Dim {
    /// The size of symbol number `index`.
    pub fn symbol(index: usize) -> Self {
        Self { terms: BTreeMap::from([(1 << index, 1)]) }
    }

    /// The value, where it depends on no symbol.
    pub fn fixed(&self) -> Option<i64> {
        match self.terms.len() {
            0 => Some(0),
            1 => self.terms.get(&0).copied(),
            _ => None,
        }
    }

    /// The symbol's number, where the extent is exactly one symbol.
    pub fn as_symbol(&self) -> Option<usize> {
        match self.terms.iter().next() {
            Some((&monomial, 1)) if self.terms.len() == 1 && monomial.is_power_of_two() => {
                Some(monomial.trailing_zeros() as usize)
            }
            _ => None,
        }
    }

    /// Each term as its coefficient and the numbers of the symbols it multiplies.
    pub fn terms(&self) -> impl Iterator<Item = (i64, Vec<usize>)> + '_ {
        self.terms.iter().map(|(&monomial, &coefficient)| {
            (coefficient, (0..MAX_SYMBOLS).filter(|i| monomial >> i & 1 == 1).collect())
        })
    }

    /// The extent at given sizes of the symbols.
    pub fn eval(&self, sizes: &[i64]) -> i64 {
        self.terms().map(|(coefficient, symbols)| symbols.iter().fold(coefficient, |p, &i| p * sizes[i])).sum()
    }

    /// The extent as a person would write it: `text + 50`.
    pub fn display<'a>(&'a self, symbols: &'a [String]) -> impl fmt::Display + 'a {
        DisplayDim { dim: self, symbols }
    }

    /// Fits the polynomial through what was measured at the corners of a grid.
    ///
    /// `corners[i]` gives the two sizes of symbol `i`; `measured[mask]` is the extent where symbol `i` had
    /// `corners[i][mask >> i & 1]`. `None` if no integer polynomial goes through.
    pub fn fit(corners: &[[i64; 2]], measured: &[i64]) -> Option<Self> {
        let mut values = measured.to_vec();
        for (i, [low, high]) in corners.iter().enumerate() {
            for mask in (0..values.len()).filter(|mask| mask >> i & 1 == 0) {
                let rise = values[mask | 1 << i] - values[mask];
                if rise % (high - low) != 0 {
                    return None;
                }
                let slope = rise / (high - low);
                values[mask] -= slope * low;
                values[mask | 1 << i] = slope;
            }
        }
        let terms =
            values.iter().enumerate().filter(|&(_, &c)| c != 0).map(|(mask, &c)| (mask as Monomial, c)).collect();
        Some(Self { terms })
    }
}

impl From<i64> for Dim {
    fn from(value: i64) -> Self {
        Self { terms: if value == 0 { BTreeMap::new() } else { BTreeMap::from([(0, value)]) } }
    }
}

impl From<usize> for Dim {
    fn from(value: usize) -> Self {
        Self::from(value as i64)
    }
}

impl std::ops::Mul for &Dim {
    type Output = Option<Dim>;

    /// The product, `None` where it would not be linear in every symbol.
    fn mul(self, other: &Dim) -> Option<Dim> {
        let mut terms: BTreeMap<Monomial, i64> = BTreeMap::new();
        for (a, x) in &self.terms {
            for (b, y) in &other.terms {
                if a & b != 0 {
                    return None;
                }
                *terms.entry(a | b).or_default() += x * y;
            }
        }
        terms.retain(|_, c| *c != 0);
        Some(Dim { terms })
    }
}

struct DisplayDim<'a> {
    dim: &'a Dim,
    symbols: &'a [String],
}

impl fmt::Display for DisplayDim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut terms: Vec<_> = self.dim.terms().collect();
        terms.sort_by_key(|(_, symbols)| std::cmp::Reverse(symbols.len()));
        if terms.is_empty() {
            return f.write_str("0");
        }
        for (position, (coefficient, symbols)) in terms.iter().enumerate() {
            let magnitude = coefficient.unsigned_abs();
            match (position, *coefficient < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            let mut factors: Vec<String> = Vec::new();
            if magnitude != 1 || symbols.is_empty() {
                factors.push(magnitude.to_string());
            }
            factors.extend(symbols.iter().map(|&i| self.symbols[i].clone()));
            f.write_str(&factors.join("*"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CORNERS: [[i64; 2]; 2] = [[3, 7], [5, 13]];

    fn measure(f: impl Fn(i64, i64) -> i64) -> Vec<i64> {
        (0..4).map(|mask: usize| f(CORNERS[0][mask & 1], CORNERS[1][mask >> 1 & 1])).collect()
    }

    fn names() -> Vec<String> {
        vec!["batch".into(), "text".into()]
    }

    #[test]
    fn a_fit_reads_as_a_person_would_write_it() {
        for (measured, text) in [
            (measure(|_, t| t + 50), "text + 50"),
            (measure(|b, t| b * (t + 50)), "batch*text + 50*batch"),
            (measure(|_, _| 768), "768"),
            (measure(|b, _| 12 * b), "12*batch"),
            (measure(|_, t| t - 1), "text - 1"),
            (measure(|_, _| 0), "0"),
        ] {
            assert_eq!(Dim::fit(&CORNERS, &measured).unwrap().display(&names()).to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_polynomial_does_not_fit() {
        assert_eq!(Dim::fit(&[[3, 7], [5, 8]], &[5, 5, 6, 6]), None, "a slope of a third");
        let square = Dim::fit(&CORNERS, &measure(|_, t| t * t)).unwrap();
        assert_ne!(square.eval(&[3, 11]), 121, "a square passes through two points, the check at a third refuses it");
    }

    #[test]
    fn symbols_and_fixed_extents_are_told_apart() {
        assert_eq!(Dim::symbol(1).as_symbol(), Some(1));
        assert_eq!(Dim::symbol(1).fixed(), None);
        assert_eq!(Dim::from(7usize).fixed(), Some(7));
        assert_eq!(Dim::from(0usize).fixed(), Some(0));
        assert_eq!(&Dim::symbol(0) * &Dim::symbol(0), None);
        assert_eq!((&Dim::symbol(0) * &Dim::from(0usize)).unwrap().fixed(), Some(0));
    }

    proptest! {
        #[test]
        fn a_fit_recovers_every_bilinear_polynomial(c in prop::array::uniform4(-60i64..60), b in 1i64..100, t in 1i64..500) {
            let f = |b: i64, t: i64| c[0] + c[1] * b + c[2] * t + c[3] * b * t;
            let dim = Dim::fit(&CORNERS, &measure(f)).unwrap();
            prop_assert_eq!(dim.eval(&[b, t]), f(b, t));
        }
    }
}
