//! Means over seeds, and differences between rows of the same seeds.

use serde::Serialize;

/// The standard normal distribution's 97.5% point.
const Z: f64 = 1.959_963_984_540_054;
/// Student's t: 97.5% points for 1 to 10 degrees of freedom.
const T: [f64; 10] = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281];

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
        if values.is_empty() {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        let interval = deviation.map(|deviation| {
            let half = t_quantile(values.len() - 1) * deviation / count.sqrt();
            [mean - half, mean + half]
        });
        Some(Self { seeds: values.len(), mean, deviation, interval })
    }

    /// Of the differences between values of the same seeds, `None` being a seed that is not measured yet.
    pub fn of_differences(values: &[Option<f64>], others: &[Option<f64>]) -> Option<Self> {
        let differences: Vec<f64> = values.iter().zip(others).filter_map(|(a, b)| Some((*a)? - (*b)?)).collect();
        Self::of(&differences)
    }
}

/// The 97.5% point of Student's t distribution: tabled, then by the Cornish-Fisher expansion, which is right to three
/// decimals there.
fn t_quantile(freedom: usize) -> f64 {
    if let Some(&tabled) = T.get(freedom.wrapping_sub(1)) {
        return tabled;
    }
    let v = freedom as f64;
    let odd = |power: i32| Z.powi(power);
    Z + (odd(3) + Z) / (4.0 * v)
        + (5.0 * odd(5) + 16.0 * odd(3) + 3.0 * Z) / (96.0 * v.powi(2))
        + (3.0 * odd(7) + 19.0 * odd(5) + 17.0 * odd(3) - 15.0 * Z) / (384.0 * v.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        for (freedom, expected) in [(1, 12.706), (4, 2.776), (10, 2.228), (11, 2.201), (15, 2.131), (30, 2.042)] {
            assert!((t_quantile(freedom) - expected).abs() < 6e-4, "{freedom}: {}", t_quantile(freedom));
        }
        let spread = Spread::of(&[1.0, 2.0, 4.0]).unwrap();
        assert!((spread.mean - 7.0 / 3.0).abs() < 1e-12 && (spread.deviation.unwrap() - 1.527_525).abs() < 1e-6);
        let [low, high] = spread.interval.unwrap();
        assert!((high - low - 2.0 * 4.3027 * 1.527_525 / 3f64.sqrt()).abs() < 1e-4);
    }

    #[test]
    fn one_seed_has_no_deviation_and_differences_are_of_the_same_seeds() {
        let one = Spread::of(&[0.5]).unwrap();
        assert_eq!((one.mean, one.deviation, one.interval), (0.5, None, None));
        assert_eq!(Spread::of(&[]), None);
        let paired = Spread::of_differences(&[Some(3.0), None, Some(5.0)], &[Some(1.0), Some(9.0), Some(4.0)]).unwrap();
        assert_eq!((paired.seeds, paired.mean), (2, 1.5));
    }
}
