//! What one number tells of a row, always computed in the same order, whatever is beside the row.

use pulp::Arch;

/// Partial results of a row: one for each lane of the widest registers.
const LANES: usize = 16;

/// The sum of a function of each value.
#[inline(always)]
pub(super) fn sum_of(row: &[f32], function: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for part in whole {
        for (lane, x) in lanes.iter_mut().zip(part) {
            *lane += function(*x);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&x| function(x)).sum::<f32>()
}

/// The sum of the products of two rows.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((whole, rest), (other, other_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in whole.iter().zip(other) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().zip(other_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// The largest value; what is no number is passed over.
#[inline(always)]
pub(super) fn largest_of(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for part in whole {
        for (lane, x) in lanes.iter_mut().zip(part) {
            *lane = larger(*lane, *x);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

/// `x * factor + mask`, less the largest of it.
pub(super) fn below_zero(x: &mut [f32], factor: f32, mask: Option<&[f32]>) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            match mask {
                Some(mask) => x.iter_mut().zip(mask).for_each(|(x, mask)| *x = *x * factor + mask),
                None => x.iter_mut().for_each(|x| *x *= factor),
            }
            let largest = largest_of(x);
            x.iter_mut().for_each(|x| *x -= largest);
        },
    );
}

/// Each value over the sum of all.
pub(super) fn shares(x: &mut [f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let inverse = 1.0 / sum_of(x, |x| x);
            x.iter_mut().for_each(|x| *x *= inverse);
        },
    );
}
