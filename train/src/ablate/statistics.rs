//! Means over seeds, and differences between rows of the same seeds.

use mbsd_spec::statistics::Mean;
use serde::Serialize;

/// A mean over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Seeds that count.
    pub seeds: usize,
    /// Their mean.
    pub mean: f64,
    /// Sample standard deviation (divided by the number of seeds less one); of one seed there is none.
    pub deviation: Option<f64>,
    /// 95% t-interval of the mean.
    pub interval: Option<[f64; 2]>,
}

impl Spread {
    /// Of values, one a seed; `None` of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mean = Mean::of(values)?;
        Some(Self { seeds: values.len(), mean: mean.mean, deviation: mean.deviation, interval: mean.interval() })
    }

    /// Of the differences between values of the same seeds, `None` being a seed that is not measured yet.
    pub fn of_differences(values: &[Option<f64>], others: &[Option<f64>]) -> Option<Self> {
        let differences: Vec<f64> = values.iter().zip(others).filter_map(|(a, b)| Some((*a)? - (*b)?)).collect();
        Self::of(&differences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_has_no_deviation_and_differences_are_of_the_same_seeds() {
        let one = Spread::of(&[0.5]).unwrap();
        assert_eq!((one.mean, one.deviation, one.interval), (0.5, None, None));
        assert_eq!(Spread::of(&[]), None);
        let paired = Spread::of_differences(&[Some(3.0), None, Some(5.0)], &[Some(1.0), Some(9.0), Some(4.0)]).unwrap();
        assert_eq!((paired.seeds, paired.mean), (2, 1.5));
    }
}
