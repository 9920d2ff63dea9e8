//! One graph: quantized, compared, judged.

use std::collections::BTreeSet;
use std::path::PathBuf;

use mbsd_runtime::engine::EngineKind;
use mbsd_spec::Variant;
use mbsd_spec::bundle::Quantization;

use crate::compare::{Baseline, Bench, Comparison};
use crate::error::CalibError;
use crate::graph::{OnnxGraph, Product, inputs};
use crate::observe::{Observer, RangeRow};
use crate::report::{ArtifactReport, EngineReport};
use crate::request::{Method, Request};
use crate::sensitivity::{self, Sensitivity};
use crate::weights::WeightBits;
use crate::{per_token, qdq, smooth, weights_only};

/// One graph in the making.
pub(crate) struct Work<'a> {
    pub(crate) request: &'a Request,
    pub(crate) benches: &'a [Bench<'a>],
    /// Where ranges come from; static ranges only.
    pub(crate) observer: Option<&'a Observer<'a>>,
    pub(crate) variant: Variant,
    pub(crate) f32: OnnxGraph,
    /// The file to be.
    pub(crate) out: PathBuf,
}

/// What is quantized, and by which ranges.
struct Source {
    graph: OnnxGraph,
    /// The products that may be.
    candidates: Vec<Product>,
    ranges: Vec<RangeRow>,
}

/// One graph made.
pub(crate) struct Made {
    variant: Variant,
    pub(crate) bytes: u64,
    quantized: usize,
    kept: Vec<String>,
    comparisons: Vec<(EngineKind, Comparison)>,
    ranges: Vec<RangeRow>,
    sensitivity: Vec<Sensitivity>,
}

impl Work<'_> {
    /// Quantizes every product with a row a token; where that loses too much, takes back the products that cost most, twice as
    /// many each time, up to half of them.
    pub(crate) fn make(&self) -> Result<Made, CalibError> {
        let variant = self.variant;
        self.f32.refuse_quantized(variant)?;
        let all = self.f32.products()?;
        let asked = |product: &Product| self.request.keep.iter().any(|part| product.name.contains(part.as_str()));
        let candidates: Vec<Product> = all.iter().filter(|p| p.per_token && !asked(p)).cloned().collect();
        if candidates.is_empty() {
            let message = format!("the {variant} graph has no products to compute in 8 bits");
            return Err(CalibError::Setting(message));
        }
        let baselines: Vec<Baseline> =
            self.benches.iter().map(|bench| bench.baseline(variant)).collect::<Result<_, _>>()?;
        let source = self.source(candidates)?;
        let mut sensitivity = Vec::new();
        let mut back = 0;
        loop {
            let kept: BTreeSet<&str> =
                sensitivity.iter().take(back).map(|s: &Sensitivity| s.product.as_str()).collect();
            let chosen: Vec<Product> =
                source.candidates.iter().filter(|product| !kept.contains(product.name.as_str())).cloned().collect();
            let bytes = self.quantize(&source, &chosen)?.write(&self.out)?;
            let mut comparisons = Vec::new();
            for (bench, baseline) in self.benches.iter().zip(&baselines) {
                comparisons.push((bench.engine.kind(), bench.compare(variant, &self.out, baseline)?));
            }
            let lost = comparisons.iter().any(|(_, c)| c.quality.f32 - c.quality.quantized > self.request.max_drop);
            let next = (2 * back).max(1);
            let retry = lost && next <= source.candidates.len() / 2;
            if (retry || self.request.sensitivity)
                && sensitivity.is_empty()
                && let (Some(bench), Some(baseline)) = (self.benches.first(), baselines.first())
            {
                let alone = |product: &Product| self.quantize(&source, std::slice::from_ref(product));
                sensitivity = sensitivity::measure(bench, baseline, &source.candidates, &self.out, alone)?;
                // The last probe lies where the graph was.
                self.quantize(&source, &chosen)?.write(&self.out)?;
            }
            if !retry {
                let computed: BTreeSet<&str> = chosen.iter().map(|product| product.name.as_str()).collect();
                let kept = all.iter().map(|p| p.name.clone()).filter(|name| !computed.contains(name.as_str()));
                return Ok(Made {
                    variant,
                    bytes,
                    quantized: chosen.len(),
                    kept: kept.collect(),
                    comparisons,
                    ranges: source.ranges,
                    sensitivity,
                });
            }
            back = next;
        }
    }

    /// The graph that is quantized: the f32 graph, smoothed where that is asked for, with ranges where the method has them.
    fn source(&self, candidates: Vec<Product>) -> Result<Source, CalibError> {
        let mut source = Source { graph: self.f32.clone(), candidates, ranges: Vec::new() };
        if let (Some(observer), Some(ranges)) = (self.observer, self.request.method.static_ranges()) {
            if let Some(alpha) = ranges.smoothing {
                let names = inputs(&source.candidates);
                let channels = observer.channels(self.variant, &source.graph, &names, &self.out)?;
                source.candidates = smooth::smooth(&mut source.graph, &source.candidates, &channels, alpha)?;
            }
            let names = inputs(&source.candidates);
            source.ranges = observer.ranges(self.variant, &source.graph, &names, ranges.method, &self.out)?;
        }
        Ok(source)
    }

    fn quantize(&self, source: &Source, products: &[Product]) -> Result<OnnxGraph, CalibError> {
        let mut graph = source.graph.clone();
        let bits = self.request.weight_bits;
        match &self.request.method {
            Method::PerToken => per_token::quantize(&mut graph, products, bits)?,
            Method::Weights => weights_only::quantize(&mut graph, products, bits)?,
            Method::Qdq(method) => {
                let ranges = source.ranges.iter().map(|row| (row.activation.clone(), row.range)).collect();
                qdq::quantize(&mut graph, products, &ranges, method.activations, bits)?;
            }
        }
        Ok(graph)
    }
}

impl Made {
    pub(crate) fn quantization(&self, bits: WeightBits) -> Quantization {
        let measured = self.comparisons.iter().map(|(engine, c)| (engine.to_string(), c.quality.clone()));
        Quantization {
            weight_bits: bits.bits(),
            products: self.quantized,
            kept: self.kept.clone(),
            measured: measured.collect(),
        }
    }

    pub(crate) fn report(self, path: &str, f32_bytes: u64, request: &Request) -> ArtifactReport {
        let refused = self.refusals(request);
        let engine = |(kind, comparison): (EngineKind, Comparison)| EngineReport {
            engine: kind.to_string(),
            decided_otherwise: comparison.decided_otherwise,
            quality: comparison.quality,
            points: comparison.points,
        };
        ArtifactReport {
            variant: self.variant,
            path: path.to_owned(),
            bytes: self.bytes,
            f32_bytes,
            products: self.quantized,
            kept: self.kept,
            engines: self.comparisons.into_iter().map(engine).collect(),
            ranges: self.ranges,
            sensitivity: self.sensitivity,
            refused,
        }
    }

    /// Why the graph does not keep what its method promises.
    fn refusals(&self, request: &Request) -> Vec<String> {
        let mut refusals = Vec::new();
        for (engine, Comparison { quality, lost_rows, .. }) in &self.comparisons {
            let graph = format!("the {} graph on {engine}", self.variant);
            let drop = quality.f32 - quality.quantized;
            if drop > request.max_drop {
                let name = if quality.measure == "roc_auc" { "ROC-AUC" } else { "accuracy" };
                refusals.push(format!(
                    "{graph} loses {drop:.4} of {name} ({:.4} to {:.4}), more than {}",
                    quality.f32, quality.quantized, request.max_drop
                ));
            }
            if *lost_rows > 0 {
                refusals.push(format!("{graph} has no result for {lost_rows} rows that f32 has one for"));
            }
            if request.method.promises_speed() && quality.speedup <= 1.0 {
                let times = quality.speedup;
                refusals.push(format!("{graph} is not faster than f32 here ({times:.2} times as fast)"));
            }
        }
        refusals
    }
}

#[cfg(test)]
mod tests;
