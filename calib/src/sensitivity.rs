//! What each product costs: it alone in 8 bits, everything else as it was.

use std::path::Path;

use mbsd_runtime::engine::Session;
use mbsd_spec::NamedTensors;
use serde::Serialize;

use crate::compare::{Baseline, Bench};
use crate::error::CalibError;
use crate::graph::{OnnxGraph, Product};
use crate::progress::Progress;

/// What one product costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sensitivity {
    /// The product's node.
    pub product: String,
    /// Mean absolute difference of the outputs from the f32 graph's.
    pub mean_abs_diff: f64,
}

/// Measures every product alone on the kept batches; the one that costs most first. `probe` is a file that may be
/// overwritten.
pub(crate) fn measure(
    bench: &Bench<'_>,
    baseline: &Baseline,
    products: &[Product],
    probe: &Path,
    alone: impl Fn(&Product) -> Result<OnnxGraph, CalibError>,
) -> Result<Vec<Sensitivity>, CalibError> {
    let mut session = bench.session(baseline.file())?;
    let expected = answers(session.as_mut(), &baseline.batches)?;
    drop(session);
    let progress = Progress::new("sensitivity of each product", Some(products.len() as u64));
    let mut all = Vec::with_capacity(products.len());
    for (done, product) in products.iter().enumerate() {
        alone(product)?.write(probe)?;
        let found = answers(bench.session(probe)?.as_mut(), &baseline.batches)?;
        all.push(Sensitivity { product: product.name.clone(), mean_abs_diff: mean_difference(&expected, &found) });
        progress.set(done as u64 + 1);
    }
    progress.finish();
    all.sort_by(|a, b| b.mean_abs_diff.total_cmp(&a.mean_abs_diff));
    Ok(all)
}

fn answers(session: &mut dyn Session, batches: &[NamedTensors]) -> Result<Vec<f32>, CalibError> {
    let mut values = Vec::new();
    for batch in batches {
        let outputs = session.run(batch)?;
        // Where a graph has logits, the vector before them says nothing more.
        let one = outputs.get("logits").or_else(|| outputs.values().next());
        values.extend_from_slice(one.and_then(|tensor| tensor.as_f32()).unwrap_or_default());
    }
    Ok(values)
}

fn mean_difference(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum();
    sum / a.len().max(1) as f64
}
