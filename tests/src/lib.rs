//! What the suites share: tolerances with their reasons, the reference cases, engines, and the binaries.

pub mod binaries;
pub mod bundles;
pub mod engines;
pub mod graphs;
pub mod models;
pub mod reference;

/// How far apart two computations of the same thing may be, each with its reason.
pub mod tolerance {
    /// Burn against the reference: float32 on both sides, sums in another order.
    pub const REFERENCE: f32 = 1e-5;
    /// An engine against Burn or the reference: other kernels for erf, exp and tanh, other blocking.
    pub const ENGINE: f32 = 1e-4;
    /// Half precision against single precision: 11 bits of mantissa between the layers.
    pub const HALF: f32 = 1e-2;
    /// A row against itself among other rows or with more padding: the same kernels, other blocking.
    pub const BATCH_MATES: f32 = 1e-5;
    /// 8-bit products against f32 on the reference's small random model: half a step of 254 in each operand, summed.
    pub const INT8: f32 = 2e-2;
    /// 8-bit weights alone. ONNX Runtime may compute such products with 8-bit activations too.
    pub const W8: f32 = 2e-2;
    /// A smoothed f32 graph against the graph it was: each input and weight is rounded once more.
    pub const SMOOTHED: f32 = 1e-5;
}

/// Largest absolute difference of two equally long lists; infinite where the lengths differ or a value is no number.
pub fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    let differences = a.iter().zip(b).map(|(x, y)| (x - y).abs());
    differences.fold(0.0, |max, d| if d.is_nan() { f32::INFINITY } else { d.max(max) })
}
