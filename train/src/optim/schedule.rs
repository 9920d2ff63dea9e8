//! The learning rate over a run.

/// Rises linearly from 0 to the peak over the warm-up, then falls linearly to 0 at the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    peak: f64,
    warm_up: usize,
    steps: usize,
}

impl Schedule {
    /// `warm_up` is a share of the steps.
    pub fn new(peak: f64, warm_up: f64, steps: usize) -> Self {
        Self { peak, warm_up: (steps as f64 * warm_up).round() as usize, steps }
    }

    /// The rate of a step, the first being 0.
    pub fn rate(&self, step: usize) -> f64 {
        if step < self.warm_up {
            return self.peak * (step + 1) as f64 / self.warm_up as f64;
        }
        let falling = (self.steps - self.warm_up.min(self.steps)).max(1);
        self.peak * self.steps.saturating_sub(step) as f64 / falling as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_over_a_tenth_and_falls_to_zero() {
        let schedule = Schedule::new(2.0, 0.1, 100);
        let expected = [(0, 0.2), (4, 1.0), (9, 2.0), (10, 2.0), (55, 1.0), (99, 2.0 / 90.0), (100, 0.0), (200, 0.0)];
        for (step, rate) in expected {
            assert!((schedule.rate(step) - rate).abs() < 1e-12, "step {step}: {}", schedule.rate(step));
        }
        assert_eq!(Schedule::new(1.0, 0.0, 10).rate(0), 1.0);
        assert_eq!(Schedule::new(1.0, 1.0, 4).rate(3), 1.0);
    }
}
