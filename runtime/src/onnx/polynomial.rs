//! Counts that depend on named sizes: `7077888*batch*text + 600*batch`.

use std::collections::BTreeMap;
use std::fmt;

/// A polynomial with whole coefficients over named sizes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Polynomial {
    /// Coefficients by the sizes multiplied, in order of their names; the same one may recur.
    terms: BTreeMap<Vec<String>, i128>,
}

impl Polynomial {
    /// A number.
    pub fn number(value: i128) -> Self {
        let mut terms = BTreeMap::new();
        if value != 0 {
            terms.insert(Vec::new(), value);
        }
        Self { terms }
    }

    /// Reads a sum of products over numbers and names, with parentheses: what engines call the extent of an axis.
    /// `None` for anything else, such as a quotient, and for `?`, which is no size.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser { rest: text.trim() };
        let sum = parser.sum()?;
        parser.rest.is_empty().then_some(sum)
    }

    /// The names in it.
    pub fn sizes(&self) -> impl Iterator<Item = &str> {
        let names: std::collections::BTreeSet<&str> = self.terms.keys().flatten().map(String::as_str).collect();
        names.into_iter()
    }

    /// The value at given sizes; an error is a size that is not given.
    ///
    /// # Errors
    /// The name of the first size that is missing.
    pub fn eval(&self, sizes: &BTreeMap<String, u64>) -> Result<i128, String> {
        let mut total = 0i128;
        for (names, coefficient) in &self.terms {
            let mut product = *coefficient;
            for name in names {
                let size = sizes.get(name).ok_or_else(|| name.clone())?;
                product = product.saturating_mul(i128::from(*size));
            }
            total = total.saturating_add(product);
        }
        Ok(total)
    }

    /// The sum.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for (names, coefficient) in &other.terms {
            let sum = self.terms.entry(names.clone()).or_default();
            *sum = sum.saturating_add(*coefficient);
        }
        self.terms.retain(|_, coefficient| *coefficient != 0);
        self
    }

    /// The product.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        let mut terms: BTreeMap<Vec<String>, i128> = BTreeMap::new();
        for (a, x) in &self.terms {
            for (b, y) in &other.terms {
                let mut names: Vec<String> = a.iter().chain(b).cloned().collect();
                names.sort();
                let sum = terms.entry(names).or_default();
                *sum = sum.saturating_add(x.saturating_mul(*y));
            }
        }
        terms.retain(|_, coefficient| *coefficient != 0);
        Self { terms }
    }
}

impl fmt::Display for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut terms: Vec<(&Vec<String>, &i128)> = self.terms.iter().collect();
        terms.sort_by_key(|(names, _)| std::cmp::Reverse(names.len()));
        if terms.is_empty() {
            return f.write_str("0");
        }
        for (position, (names, coefficient)) in terms.into_iter().enumerate() {
            match (position, *coefficient < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            let magnitude = coefficient.unsigned_abs();
            let mut factors = Vec::new();
            if magnitude != 1 || names.is_empty() {
                factors.push(magnitude.to_string());
            }
            for name in names.chunk_by(|a, b| a == b) {
                factors.push(match name {
                    [one] => one.clone(),
                    several => format!("{}^{}", several[0], several.len()),
                });
            }
            f.write_str(&factors.join("*"))?;
        }
        Ok(())
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn take(&mut self, symbol: char) -> bool {
        let found = self.rest.strip_prefix(symbol);
        if let Some(rest) = found {
            self.rest = rest.trim_start();
        }
        found.is_some()
    }

    fn sum(&mut self) -> Option<Polynomial> {
        let mut sum = self.product()?;
        loop {
            if self.take('+') {
                sum = sum.plus(&self.product()?);
            } else if self.rest.starts_with('-') {
                // The sign belongs to the product.
                sum = sum.plus(&self.product()?);
            } else {
                return Some(sum);
            }
        }
    }

    fn product(&mut self) -> Option<Polynomial> {
        let sign = if self.take('-') { -1 } else { 1 };
        let mut product = Polynomial::number(sign).times(&self.factor()?);
        while self.take('*') {
            product = product.times(&self.factor()?);
        }
        Some(product)
    }

    fn factor(&mut self) -> Option<Polynomial> {
        if self.take('(') {
            let inner = self.sum()?;
            return self.take(')').then_some(inner);
        }
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return None;
        }
        self.rest = rest.trim_start();
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return Some(Polynomial::number(word.parse().ok()?));
        }
        Some(Polynomial { terms: BTreeMap::from([(vec![word.to_owned()], 1)]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_engines_call_an_extent_is_read() {
        for (text, reads) in [
            ("50+text", Some("text + 50")),
            ("batch*(text + 50)", Some("batch*text + 50*batch")),
            ("-1+2*text", Some("2*text - 1")),
            ("(a+b)*(a-b)", Some("a^2 - b^2")),
            ("text-text", Some("0")),
            ("12", Some("12")),
            ("text/2", None),
            ("?", None),
            ("", None),
            ("2*", None),
            ("(text", None),
        ] {
            assert_eq!(Polynomial::parse(text).map(|p| p.to_string()).as_deref(), reads, "{text}");
        }
    }

    #[test]
    fn a_value_needs_every_size() {
        let count = Polynomial::parse("3*batch*text + 50*batch").unwrap();
        let sizes = |pairs: &[(&str, u64)]| pairs.iter().map(|&(name, size)| (name.to_owned(), size)).collect();
        assert_eq!(count.eval(&sizes(&[("batch", 2), ("text", 10)])), Ok(160));
        assert_eq!(count.eval(&sizes(&[("batch", 2)])), Err("text".to_owned()));
        assert_eq!(count.sizes().collect::<Vec<_>>(), ["batch", "text"]);
    }
}
