//! Means with their intervals, and quantiles: how sure a measured figure is.

/// The standard normal distribution's 97.5% point.
const Z: f64 = 1.959_963_984_540_054;
/// Student's t: 97.5% points for 1 to 10 degrees of freedom.
const T: [f64; 10] = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281];

/// A mean of values measured apart from each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Sample standard deviation (divided by the number of values less one); of one value there is none.
    pub deviation: Option<f64>,
    /// Half the width of the 95% t-interval of the mean; of one value there is none.
    pub half_width: Option<f64>,
}

impl Mean {
    /// Of values; `None` of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        let half_width = deviation.map(|deviation| t_quantile(count - 1.0) * deviation / count.sqrt());
        Some(Self { mean, deviation, half_width })
    }

    /// The 95% t-interval of the mean, where there is one.
    pub fn interval(&self) -> Option<[f64; 2]> {
        self.half_width.map(|half| [self.mean - half, self.mean + half])
    }
}

/// The 97.5% point of Student's t distribution: tabled for 1 to 10 degrees of freedom and linear in between, then by the
/// Cornish-Fisher expansion, which is right to three decimals there.
pub fn t_quantile(freedom: f64) -> f64 {
    if freedom < 10.0 {
        let below = (freedom.max(1.0).floor() as usize).min(9);
        let share = (freedom.max(1.0) - below as f64).clamp(0.0, 1.0);
        return T[below - 1] * (1.0 - share) + T[below] * share;
    }
    let v = freedom;
    let odd = |power: i32| Z.powi(power);
    Z + (odd(3) + Z) / (4.0 * v)
        + (5.0 * odd(5) + 16.0 * odd(3) + 3.0 * Z) / (96.0 * v.powi(2))
        + (3.0 * odd(7) + 19.0 * odd(5) + 17.0 * odd(3) - 15.0 * Z) / (384.0 * v.powi(3))
}

/// The nearest-rank quantile of sorted values: the least of them that `share` (0 to 1) of all do not exceed.
///
/// # Panics
/// If there are no values.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// The median of values in any order: the middle one, or the mean of the two in the middle.
///
/// # Panics
/// If there are no values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_those_of_the_tables() {
        for (freedom, expected) in
            [(1.0, 12.706), (4.0, 2.776), (10.0, 2.228), (11.0, 2.201), (15.0, 2.131), (30.0, 2.042)]
        {
            assert!((t_quantile(freedom) - expected).abs() < 6e-4, "{freedom}: {}", t_quantile(freedom));
        }
        assert!((t_quantile(2.5) - f64::midpoint(T[1], T[2])).abs() < 1e-9);
    }

    #[test]
    fn a_mean_has_an_interval_from_two_values_on() {
        let three = Mean::of(&[1.0, 2.0, 4.0]).unwrap();
        assert!((three.mean - 7.0 / 3.0).abs() < 1e-12 && (three.deviation.unwrap() - 1.527_525).abs() < 1e-6);
        let [low, high] = three.interval().unwrap();
        assert!((high - low - 2.0 * 4.3027 * 1.527_525 / 3f64.sqrt()).abs() < 1e-4);
        assert_eq!(Mean::of(&[0.5]).unwrap(), Mean { mean: 0.5, deviation: None, half_width: None });
        assert_eq!(Mean::of(&[]), None);
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        let of = |share| quantile(&sorted, share);
        assert_eq!([of(0.0), of(0.5), of(0.9), of(0.99), of(1.0)], [1.0, 50.0, 90.0, 99.0, 100.0]);
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
        assert_eq!(median(&[3.0, 1.0, 2.0, 10.0]), 2.5);
    }
}
