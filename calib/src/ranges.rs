//! How large activations get, as histograms of magnitudes: memory does not grow with the rows observed.

use std::fmt;
use std::str::FromStr;

/// Bins of a histogram.
const BINS: usize = 2048;

/// Steps of a range on each side of 0.
const LEVELS: f64 = 127.0;

/// Share of magnitudes that [`RangeMethod::Percentile`] keeps.
const PERCENTILE: f64 = 0.9999;

/// Candidates that [`RangeMethod::Mse`] tries.
const CANDIDATES: usize = 128;

/// Magnitudes that a byte tells apart, 0 among them: what [`RangeMethod::Entropy`] compares a histogram with.
const MAGNITUDES: usize = 128;

/// How a range is chosen of what was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RangeMethod {
    /// The largest magnitude.
    MinMax,
    /// The magnitude that 99.99% stay within.
    Percentile,
    /// The range with the least mean squared error, rounding inside weighed against cutting outside.
    #[default]
    Mse,
    /// The range whose 8-bit distribution diverges least from the observed one: the calibration of TensorRT (Migacz, 2017).
    Entropy,
}

impl RangeMethod {
    /// Every method.
    pub const ALL: &'static [Self] = &[Self::MinMax, Self::Percentile, Self::Mse, Self::Entropy];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::MinMax => "min-max",
            Self::Percentile => "percentile",
            Self::Mse => "mse",
            Self::Entropy => "entropy",
        }
    }
}

impl fmt::Display for RangeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for RangeMethod {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|method| method.name() == given)
            .ok_or_else(|| format!("unknown way to choose ranges `{given}`: use min-max, percentile, mse or entropy"))
    }
}

/// Magnitudes of one tensor over many runs.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    /// Upper end of the last bin; a power of two times the first one, so that bins merge in pairs.
    top: f64,
    largest: f32,
    not_finite: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BINS], top: 0.0, largest: 0.0, not_finite: 0 }
    }
}

impl Histogram {
    /// Counts the values of a run.
    pub fn observe(&mut self, values: &[f32]) {
        let mut largest = 0f32;
        for value in values {
            if value.is_finite() {
                largest = largest.max(value.abs());
            } else {
                self.not_finite += 1;
            }
        }
        self.largest = self.largest.max(largest);
        if largest > 0.0 {
            self.make_room(f64::from(largest));
        }
        if self.top == 0.0 {
            return;
        }
        let bins_per_unit = BINS as f64 / self.top;
        for value in values.iter().filter(|value| value.is_finite()) {
            let bin = (f64::from(value.abs()) * bins_per_unit) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
    }

    fn make_room(&mut self, largest: f64) {
        if self.top == 0.0 {
            self.top = largest;
        }
        while self.top < largest {
            for bin in 0..BINS / 2 {
                self.counts[bin] = self.counts[2 * bin] + self.counts[2 * bin + 1];
            }
            self.counts[BINS / 2..].fill(0);
            self.top *= 2.0;
        }
    }

    /// The largest magnitude.
    pub fn largest(&self) -> f32 {
        self.largest
    }

    /// How many values were not finite.
    pub fn not_finite(&self) -> u64 {
        self.not_finite
    }

    /// The range that a method chooses; 0 where only zeros were observed.
    pub fn range(&self, method: RangeMethod) -> f32 {
        let chosen = match method {
            RangeMethod::MinMax => f64::from(self.largest),
            RangeMethod::Percentile => self.percentile(PERCENTILE),
            RangeMethod::Mse => self.least_error(),
            RangeMethod::Entropy => self.least_divergence(),
        };
        (chosen as f32).min(self.largest)
    }

    fn percentile(&self, share: f64) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let wanted = (total as f64 * share).ceil() as u64;
        let mut seen = 0;
        let bin = self.counts.iter().position(|&count| {
            seen += count;
            seen >= wanted
        });
        bin.map_or(0.0, |bin| (bin + 1) as f64 * self.top / BINS as f64)
    }

    fn least_error(&self) -> f64 {
        let width = self.top / BINS as f64;
        let error = |range: f64| -> f64 {
            let rounding = (range / LEVELS).powi(2) / 12.0;
            let one = |(bin, &count): (usize, &u64)| {
                let cut = ((bin as f64 + 0.5) * width - range).max(0.0);
                count as f64 * if cut > 0.0 { cut * cut } else { rounding }
            };
            self.counts.iter().enumerate().map(one).sum()
        };
        let candidate = |step: usize| f64::from(self.largest) * step as f64 / CANDIDATES as f64;
        (1..=CANDIDATES).map(candidate).min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or(0.0)
    }

    fn least_divergence(&self) -> f64 {
        let width = self.top / BINS as f64;
        let used = self.counts.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
        let candidates = MAGNITUDES..=used.max(MAGNITUDES);
        let best = candidates.map(|bins| (bins, self.divergence(bins))).min_by(|a, b| a.1.total_cmp(&b.1));
        best.map_or(0.0, |(bins, _)| bins as f64 * width)
    }

    /// The Kullback-Leibler divergence of a byte's distribution from the observed one, if the range ends with the first `bins`:
    /// what lies beyond counts as the last of them, and each magnitude of the byte is spread evenly over its bins that hold
    /// something.
    fn divergence(&self, bins: usize) -> f64 {
        let beyond: u64 = self.counts[bins..].iter().sum();
        let inside: u64 = self.counts[..bins].iter().sum();
        if inside == 0 {
            return f64::INFINITY;
        }
        let total = (inside + beyond) as f64;
        let mut divergence = 0.0;
        for magnitude in 0..MAGNITUDES {
            let own = magnitude * bins / MAGNITUDES..(magnitude + 1) * bins / MAGNITUDES;
            let sum: u64 = self.counts[own.clone()].iter().sum();
            let filled = self.counts[own.clone()].iter().filter(|count| **count > 0).count();
            let spread = sum as f64 / filled.max(1) as f64 / inside as f64;
            for bin in own {
                let observed = self.counts[bin] + if bin == bins - 1 { beyond } else { 0 };
                if observed == 0 {
                    continue;
                }
                // An empty last bin has nothing to stand for what is cut into it.
                if self.counts[bin] == 0 {
                    return f64::INFINITY;
                }
                let observed = observed as f64 / total;
                divergence += observed * (observed / spread).ln();
            }
        }
        divergence
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_outlier_widens_min_max_alone() {
        let mut histogram = Histogram::default();
        let values: Vec<f32> = (0..100_000).map(|i| (i % 2001) as f32 / 1000.0 - 1.0).collect();
        histogram.observe(&values);
        histogram.observe(&[-40.0]);
        assert_eq!(histogram.range(RangeMethod::MinMax), 40.0);
        let percentile = histogram.range(RangeMethod::Percentile);
        assert!((0.99..1.1).contains(&percentile), "{percentile}");
        // Where (40 - r)^2 + 100 000 (r / 127)^2 / 12 is least.
        let mse = histogram.range(RangeMethod::Mse);
        assert!((26.0..26.8).contains(&mse), "{mse}");
    }

    /// Sums of twelve uniform values, less their mean: nearly normal, with a deviation of 1.
    fn normal(count: usize) -> Vec<f32> {
        let mut state = 1u64;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
    }

    #[test]
    fn entropy_cuts_an_outlier_and_nothing_of_an_even_spread() {
        let mut histogram = Histogram::default();
        histogram.observe(&normal(100_000));
        histogram.observe(&[40.0]);
        let range = histogram.range(RangeMethod::Entropy);
        assert!((2.5..6.0).contains(&range), "{range}");

        let mut histogram = Histogram::default();
        let even: Vec<f32> = (0..204_800).map(|i| i as f32 / 204_800.0).collect();
        histogram.observe(&even);
        let range = histogram.range(RangeMethod::Entropy);
        assert!(range > 0.99, "{range}");
    }

    #[test]
    fn divergence_is_that_of_the_spread_out_bytes() {
        let mut histogram = Histogram { top: BINS as f64, ..Histogram::default() };
        // Two bins a magnitude: 3 and 1 of four in the first, 4 in the third, and 2 beyond that the last bin takes.
        histogram.counts[..2].copy_from_slice(&[3, 1]);
        histogram.counts[4..6].copy_from_slice(&[4, 0]);
        histogram.counts[255] = 2;
        histogram.counts[300] = 2;
        // Inside are 10, seen are 12.
        let by_hand = 3.0 / 12.0 * f64::ln((3.0 / 12.0) / (2.0 / 10.0))
            + 1.0 / 12.0 * f64::ln((1.0 / 12.0) / (2.0 / 10.0))
            + 4.0 / 12.0 * f64::ln((4.0 / 12.0) / (4.0 / 10.0))
            + 4.0 / 12.0 * f64::ln((4.0 / 12.0) / (2.0 / 10.0));
        let found = histogram.divergence(256);
        assert!((found - by_hand).abs() < 1e-12, "{found} {by_hand}");
        assert_eq!(histogram.divergence(254), f64::INFINITY, "nothing stands for what is cut");
    }

    #[test]
    fn zeros_have_no_range_and_what_is_not_finite_is_counted() {
        let mut histogram = Histogram::default();
        histogram.observe(&[0.0, -0.0]);
        assert!(RangeMethod::ALL.iter().all(|&method| histogram.range(method) == 0.0));
        histogram.observe(&[f32::NAN, f32::INFINITY, 1.0]);
        assert_eq!((histogram.not_finite(), histogram.largest()), (2, 1.0));
    }

    proptest! {
        #[test]
        fn every_range_holds_and_no_value_is_lost(runs in prop::collection::vec(prop::collection::vec(-1e4f32..1e4, 1..40), 1..8)) {
            let mut histogram = Histogram::default();
            runs.iter().for_each(|run| histogram.observe(run));
            let values: Vec<f32> = runs.concat();
            let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
            prop_assert_eq!(histogram.largest(), largest);
            if largest > 0.0 {
                let zeros_first = runs.iter().take_while(|run| run.iter().all(|v| *v == 0.0)).map(Vec::len).sum::<usize>();
                prop_assert_eq!(histogram.counts.iter().sum::<u64>(), (values.len() - zeros_first) as u64);
                for &method in RangeMethod::ALL {
                    let range = histogram.range(method);
                    prop_assert!(range > 0.0 && range <= largest, "{} {}", method, range);
                }
            }
        }
    }
}
