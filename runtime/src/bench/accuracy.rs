//! What a bundle's manifest says of how right its graphs are.

use mbsd_spec::{Manifest, Precision};

use super::report::Accuracy;

/// Of every graph that was measured on labelled rows: 8-bit graphs, and the f32 graphs beside them.
pub(super) fn of(manifest: &Manifest) -> Vec<Accuracy> {
    let mut known: Vec<Accuracy> = Vec::new();
    for artifact in &manifest.artifacts {
        for (engine, measured) in artifact.quantization.iter().flat_map(|quantization| &quantization.measured) {
            for (precision, value) in [(Precision::F32, measured.f32), (artifact.precision, measured.quantized)] {
                let entry = Accuracy {
                    variant: artifact.variant,
                    precision,
                    engine: engine.clone(),
                    measure: measured.measure.clone(),
                    value,
                };
                let same = |other: &Accuracy| {
                    (other.variant, other.precision) == (entry.variant, entry.precision)
                        && other.engine == entry.engine
                        && other.measure == entry.measure
                };
                match known.iter_mut().find(|other| same(other)) {
                    // f32 graphs are measured beside each 8-bit one, perhaps on other rows: the least counts.
                    Some(other) => other.value = other.value.min(value),
                    None => known.push(entry),
                }
            }
        }
    }
    known
}
