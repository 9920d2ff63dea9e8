//! What the kernels compute with: functions that vectorize, and sums in a fixed order.

use pulp::Arch;

/// Partial sums of a row: one for each lane of the widest registers, added up in the same order everywhere.
const LANES: usize = 16;

/// Runs a loop compiled for the vector instructions that this machine has.
#[inline(always)]
pub(super) fn vectorized<R>(run: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(run)
}

/// The sum of a function over two rows of equal length.
#[inline(always)]
pub(super) fn sum_of(left: &[f32], right: &[f32], function: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            lanes[lane] += function(left[lane], right[lane]);
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(&left, &right)| function(left, right)).sum();
    lanes.iter().sum::<f32>() + rest
}

/// `into += factor * values`, element by element.
#[inline(always)]
pub(super) fn add_scaled(into: &mut [f32], factor: f32, values: &[f32]) {
    for (into, value) in into.iter_mut().zip(values) {
        *into += factor * value;
    }
}

/// e^x for x <= 0, within 2 units in the last place; 0 below -87.
#[inline(always)]
pub(super) fn exp_of_negative(x: f32) -> f32 {
    const LOWEST: f32 = -87.0;
    // Added and taken away again, it rounds to an integer, which then stands in the lowest bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first with zeros where it is multiplied by an exponent.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Not `max`, which would make a number of what is none.
    let clamped = if x < LOWEST { LOWEST } else { x };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let exponent = shifted - ROUND;
    let rest = clamped - exponent * LN_2_HIGH - exponent * LN_2_LOW;
    let series = 1.987_569_1e-4;
    let series = series * rest + 1.398_199_9e-3;
    let series = series * rest + 8.333_452e-3;
    let series = series * rest + 4.166_579_6e-2;
    let series = series * rest + 1.666_666_5e-1;
    let series = series * rest + 0.5;
    let series = series * rest * rest + rest + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < LOWEST { 0.0 } else { series * power }
}

/// The normal distribution's density and cumulative probability at x, the latter within 1e-7 (Abramowitz and Stegun,
/// 7.1.26).
#[inline(always)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    const INVERSE_ROOT_2_PI: f32 = 0.398_942_3;
    let exponential = exp_of_negative(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let series = 1.061_405_4;
    let series = series * t - 1.453_152;
    let series = series * t + 1.421_413_8;
    let series = series * t - 0.284_496_74;
    let series = series * t + 0.254_829_6;
    let tail = 0.5 * series * t * exponential;
    (INVERSE_ROOT_2_PI * exponential, if x < 0.0 { tail } else { 1.0 - tail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_double_precision() {
        let worst = (0..200_000).map(|step| -f64::from(step) * 4.3e-4).map(|x| {
            let (found, exact) = (f64::from(exp_of_negative(x as f32)), f64::from(x as f32).exp());
            (found - exact).abs() / exact
        });
        let worst = worst.fold(0.0, f64::max);
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "{worst:e}");
        assert_eq!(exp_of_negative(0.0), 1.0);
        assert_eq!(exp_of_negative(-1e4), 0.0);
        assert_eq!(exp_of_negative(f32::NEG_INFINITY), 0.0);
        assert!(exp_of_negative(f32::NAN).is_nan());
    }

    #[test]
    fn sums_count_every_element() {
        let values: Vec<f32> = (0..37).map(|value| value as f32).collect();
        let ones = vec![1.0; 37];
        assert_eq!(sum_of(&values, &ones, |a, b| a * b), 666.0);
    }
}
