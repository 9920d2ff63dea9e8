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

/// Asserts that rows written as text are the same, but for the last digits of their scores: sums over rows depend on how many
/// rows an engine multiplies at once.
///
/// # Panics
/// If they are not.
pub fn assert_same_rows(found: &[String], expected: &[String]) {
    assert_eq!(found.len(), expected.len(), "rows");
    for (found, expected) in found.iter().zip(expected) {
        let (words, scores) = without_fractions(found);
        let (expected_words, expected_scores) = without_fractions(expected);
        assert_eq!(words, expected_words);
        assert!(max_difference(&scores, &expected_scores) < 1e-6, "{found} is not {expected}");
    }
}

/// A text without its decimal fractions, and these.
fn without_fractions(text: &str) -> (String, Vec<f32>) {
    let number = |c: char| c.is_ascii_digit() || c == '.';
    let (mut words, mut scores, mut rest) = (String::new(), Vec::new(), text);
    while let Some(start) = rest.find(number) {
        let end = rest[start..].find(|c| !number(c)).map_or(rest.len(), |length| start + length);
        words.push_str(&rest[..start]);
        match rest[start..end].parse() {
            Ok(score) if rest[start..end].contains('.') => scores.push(score),
            _ => words.push_str(&rest[start..end]),
        }
        rest = &rest[end..];
    }
    (words + rest, scores)
}
