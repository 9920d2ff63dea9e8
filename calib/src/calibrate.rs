//! From a bundle with f32 graphs to one with 8-bit graphs beside them, each compared and judged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mbsd_runtime::engine::{self, Engine, EngineError, EngineKind, EngineOptions, SessionOptions};
use mbsd_runtime::parity::Reference;
use mbsd_spec::bundle::{Artifact, BundleWriter, Parity, Quantization, names};
use mbsd_spec::{Bundle, Manifest, Precision, Task, Variant};

use crate::compare::{Baseline, Bench, Comparison};
use crate::error::CalibError;
use crate::graph::{OnnxGraph, Product};
use crate::observe::{self, Ranges};
use crate::qdq::Activations;
use crate::ranges::RangeMethod;
use crate::report::{ArtifactReport, EngineReport, Report};
use crate::rows::{LabelledData, Rows};
use crate::sensitivity::{self, Sensitivity};
use crate::weights::WeightBits;
use crate::{per_token, qdq, weights_only};

/// How 8-bit graphs are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Activations quantized per token at run time: [`crate::per_token`].
    PerToken,
    /// Static ranges, chosen this way of what the rows show: [`crate::qdq`].
    Qdq(RangeMethod, Activations),
    /// 8-bit weights alone: [`crate::weights_only`].
    Weights,
}

impl Method {
    /// The precision of the graphs it makes.
    pub fn precision(self) -> Precision {
        match self {
            Self::PerToken => Precision::Int8,
            Self::Qdq(..) => Precision::Qdq,
            Self::Weights => Precision::W8,
        }
    }

    /// Whether its graphs are there to be faster.
    fn promises_speed(self) -> bool {
        self != Self::Weights
    }
}

/// What to make, of what, and what it may lose.
#[derive(Debug, Clone)]
pub struct Request {
    /// A bundle with f32 graphs.
    pub bundle: PathBuf,
    /// How.
    pub method: Method,
    /// Rows that the graphs are compared on; static ranges come from them too.
    pub data: LabelledData,
    /// The graphs to make 8-bit ones of; all that encode products where `None`.
    pub variants: Option<Vec<Variant>>,
    /// The engines to compare with.
    pub engines: Vec<EngineKind>,
    /// Leave out engines that are not there instead of failing.
    pub engines_optional: bool,
    /// Where the engines' libraries are.
    pub engine_options: EngineOptions,
    /// CPU threads; all cores where `None`.
    pub threads: Option<NonZeroUsize>,
    /// Bits of a weight.
    pub weight_bits: WeightBits,
    /// Products that stay in f32: those whose name contains one of these.
    pub keep: Vec<String>,
    /// ROC-AUC, or accuracy for classification, that a graph may lose.
    pub max_drop: f64,
    /// Measure what each product alone costs, also where the graph keeps to `max_drop` without.
    pub sensitivity: bool,
    /// Write the bundle also where a graph loses more, or is not faster than f32.
    pub force: bool,
    /// The bundle to be: a new or empty folder.
    pub out: PathBuf,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Calibrated {
    /// The manifest as written.
    pub manifest: Manifest,
    /// What was measured.
    pub report: Report,
    /// Engines that are not here, with the reason.
    pub absent: Vec<(EngineKind, String)>,
}

/// Makes 8-bit graphs. The bundle appears at its place only when it is whole and its graphs were not refused.
///
/// # Errors
/// See [`CalibError`]; [`CalibError::Refused`] for graphs that lose more than allowed or, where that is what they are for,
/// are not faster than f32 on this machine.
pub fn calibrate(request: &Request) -> Result<Calibrated, CalibError> {
    let bundle = Bundle::open(&request.bundle)?;
    let precision = request.method.precision();
    let variants = variants(&bundle, request)?;
    let rows = Rows::new(&request.data, bundle.task())?;
    let (engines, absent) = engines(request)?;
    let writer = BundleWriter::create(&request.out)?;
    for relative in bundle.manifest().files.keys() {
        if let Some(file) = bundle.file(relative)? {
            let copy = writer.path(relative);
            let folder = copy.parent().map_or_else(|| writer.path(""), Path::to_owned);
            fs::create_dir_all(&folder).map_err(CalibError::io(folder))?;
            fs::copy(&file, &copy).map_err(CalibError::io(file))?;
        }
    }
    let benches: Vec<Bench<'_>> = engines
        .into_iter()
        .map(|engine| Bench { engine, bundle: &bundle, rows: &rows, threads: request.threads })
        .collect();
    let mut manifest = bundle.manifest().clone();
    let mut report = Report::new(request, bundle.task());
    for variant in variants {
        let (artifact, file) = bundle.artifact(variant, Precision::F32)?;
        let path = format!("{}/{variant}{}.onnx", names::GRAPHS, precision.file_suffix());
        let work = Work { request, benches: &benches, variant, f32: OnnxGraph::read(&file)?, out: writer.path(&path) };
        let made = work.make()?;
        manifest.artifacts.push(Artifact {
            precision,
            path: path.clone(),
            bytes: made.bytes,
            parity: parity(&writer, variant, &path, &benches)?,
            quantization: Some(made.quantization(request.weight_bits)),
            ..artifact.clone()
        });
        report.artifacts.push(made.report(&path, artifact.bytes, request));
    }
    if bundle.task() == Task::Alignment
        && let Some(pair) = bundle.manifest().artifact(Variant::Pair, Precision::F32)
    {
        // The head over two vectors is nothing to gain by, and a precision must be whole.
        manifest.artifacts.push(Artifact { precision, ..pair.clone() });
    }
    let refusals = report.refusals();
    if !refusals.is_empty() && !request.force {
        eprint!("{}", report.table());
        return Err(CalibError::Refused(refusals));
    }
    report.write(&writer)?;
    let manifest = writer.finish(manifest)?;
    Ok(Calibrated { manifest, report, absent })
}

/// Agreement of a graph with the trained model, on the rows that the bundle carries for its variant. Nothing where it carries
/// none, being of an earlier exporter.
fn parity(
    writer: &BundleWriter,
    variant: Variant,
    graph: &str,
    benches: &[Bench<'_>],
) -> Result<BTreeMap<String, Parity>, CalibError> {
    let reference = writer.path(&names::reference(variant));
    if !reference.is_file() {
        return Ok(BTreeMap::new());
    }
    let reference = Reference::read(&reference)?;
    let measured = benches.iter().map(|bench| {
        let measured = reference.measure(bench.engine.as_ref(), &writer.path(graph), &SessionOptions::default())?;
        Ok((bench.engine.kind().to_string(), Parity::Measured(measured)))
    });
    measured.collect()
}

fn variants(bundle: &Bundle, request: &Request) -> Result<Vec<Variant>, CalibError> {
    let (manifest, precision) = (bundle.manifest(), request.method.precision());
    if manifest.artifacts.iter().any(|artifact| artifact.precision == precision) {
        return Err(CalibError::AlreadyThere(precision));
    }
    let there = |variant: Variant| manifest.artifact(variant, Precision::F32).is_some();
    let wanted = match &request.variants {
        Some(wanted) => wanted.clone(),
        None => Variant::ENCODERS.into_iter().filter(|&variant| there(variant)).collect(),
    };
    if wanted.contains(&Variant::Pair) {
        return Err(CalibError::Setting("the pair head stays in f32: give full, text or image".to_owned()));
    }
    for &variant in &wanted {
        bundle.artifact(variant, Precision::F32)?;
    }
    if wanted.is_empty() {
        return Err(CalibError::Setting("the bundle has no f32 graph that encodes products".to_owned()));
    }
    let mut seen = BTreeSet::new();
    Ok(wanted.into_iter().filter(|variant| seen.insert(*variant)).collect())
}

type Absent = Vec<(EngineKind, String)>;

fn engines(request: &Request) -> Result<(Vec<Arc<dyn Engine>>, Absent), CalibError> {
    let (mut engines, mut absent) = (Vec::new(), Vec::new());
    let mut last: Option<EngineError> = None;
    for &kind in &request.engines {
        match engine::open(kind, &request.engine_options) {
            Ok(engine) => engines.push(engine),
            Err(error) if request.engines_optional => {
                absent.push((kind, std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string)));
                last = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match last {
        Some(error) if engines.is_empty() => Err(error.into()),
        _ => Ok((engines, absent)),
    }
}

/// One graph in the making.
struct Work<'a> {
    request: &'a Request,
    benches: &'a [Bench<'a>],
    variant: Variant,
    f32: OnnxGraph,
    out: PathBuf,
}

/// One graph made.
struct Made {
    variant: Variant,
    bytes: u64,
    quantized: usize,
    kept: Vec<String>,
    comparisons: Vec<(EngineKind, Comparison)>,
    ranges: Ranges,
    sensitivity: Vec<Sensitivity>,
}

impl Work<'_> {
    /// Quantizes every product with a row a token; where that loses too much, takes back the products that cost most, twice as
    /// many each time, up to half of them.
    fn make(&self) -> Result<Made, CalibError> {
        let variant = self.variant;
        if let Some((node, op)) = self.f32.quantized_node() {
            return Err(CalibError::AlreadyQuantized { variant, node: node.to_owned(), op: op.to_owned() });
        }
        let all = self.f32.products()?;
        let asked = |product: &Product| self.request.keep.iter().any(|part| product.name.contains(part.as_str()));
        let candidates: Vec<Product> = all.iter().filter(|p| p.per_token && !asked(p)).cloned().collect();
        if candidates.is_empty() {
            let message = format!("the {variant} graph has no products to compute in 8 bits");
            return Err(CalibError::Setting(message));
        }
        let baselines: Vec<Baseline> =
            self.benches.iter().map(|bench| bench.baseline(variant)).collect::<Result<_, _>>()?;
        let ranges = match (self.request.method, self.benches.first()) {
            (Method::Qdq(method, _), Some(bench)) => {
                observe::ranges(bench, variant, &self.f32, &candidates, method, &self.out)?
            }
            _ => Ranges::default(),
        };
        let mut sensitivity = Vec::new();
        let mut back = 0;
        loop {
            let kept: BTreeSet<&str> =
                sensitivity.iter().take(back).map(|s: &Sensitivity| s.product.as_str()).collect();
            let chosen: Vec<Product> =
                candidates.iter().filter(|product| !kept.contains(product.name.as_str())).cloned().collect();
            let bytes = self.quantize(&chosen, &ranges)?.write(&self.out)?;
            let mut comparisons = Vec::new();
            for (bench, baseline) in self.benches.iter().zip(&baselines) {
                comparisons.push((bench.engine.kind(), bench.compare(variant, &self.out, baseline)?));
            }
            let lost = comparisons.iter().any(|(_, c)| c.quality.f32 - c.quality.quantized > self.request.max_drop);
            let next = (2 * back).max(1);
            let retry = lost && next <= candidates.len() / 2;
            if (retry || self.request.sensitivity) && sensitivity.is_empty() {
                let (Some(bench), Some(baseline)) = (self.benches.first(), baselines.first()) else { break };
                let alone = |product: &Product| self.quantize(std::slice::from_ref(product), &ranges);
                sensitivity = sensitivity::measure(bench, baseline, &candidates, &self.out, alone)?;
                // The last probe lies where the graph was.
                self.quantize(&chosen, &ranges)?.write(&self.out)?;
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
                    ranges,
                    sensitivity,
                });
            }
            back = next;
        }
        Err(CalibError::Setting("no engine to compare with was given".to_owned()))
    }

    fn quantize(&self, products: &[Product], ranges: &Ranges) -> Result<OnnxGraph, CalibError> {
        let mut graph = self.f32.clone();
        let bits = self.request.weight_bits;
        match self.request.method {
            Method::PerToken => per_token::quantize(&mut graph, products, bits)?,
            Method::Weights => weights_only::quantize(&mut graph, products, bits)?,
            Method::Qdq(_, form) => qdq::quantize(&mut graph, products, &ranges.chosen(), form, bits)?,
        }
        Ok(graph)
    }
}

impl Made {
    fn quantization(&self, bits: WeightBits) -> Quantization {
        let measured = self.comparisons.iter().map(|(engine, c)| (engine.to_string(), c.quality.clone()));
        Quantization {
            weight_bits: bits.bits(),
            products: self.quantized,
            kept: self.kept.clone(),
            measured: measured.collect(),
        }
    }

    fn report(self, path: &str, f32_bytes: u64, request: &Request) -> ArtifactReport {
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
            ranges: self.ranges.into_rows(),
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
