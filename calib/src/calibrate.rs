//! From a bundle with f32 graphs to one with 8-bit graphs beside them, each compared and judged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use mbsd_runtime::engine::{self, Engine, EngineError, EngineKind, SessionOptions};
use mbsd_runtime::parity::Reference;
use mbsd_spec::bundle::{Artifact, BundleWriter, Parity, names};
use mbsd_spec::{Bundle, Manifest, Precision, Task, Variant};

use crate::artifact::Work;
use crate::compare::Bench;
use crate::error::CalibError;
use crate::graph::OnnxGraph;
use crate::observe::Observer;
use crate::report::Report;
use crate::request::{Engines, Request};
use crate::rows::Rows;

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
    if bundle.manifest().artifacts.iter().any(|artifact| artifact.precision == precision) {
        return Err(CalibError::AlreadyThere(precision));
    }
    let variants = variants(&bundle, request.variants.as_deref())?;
    let ranges = request.method.static_ranges().map(|ranges| &ranges.data);
    let (rows, range_rows) = Rows::new(&request.data, ranges, bundle.task())?;
    let (engines, absent) = engines(&request.engines)?;
    let writer = BundleWriter::create(&request.out)?;
    for relative in bundle.manifest().files.keys() {
        if let Some(file) = bundle.file(relative)? {
            let copy = writer.path(relative);
            let folder = copy.parent().map_or_else(|| writer.path(""), Path::to_owned);
            fs::create_dir_all(&folder).map_err(CalibError::io(folder))?;
            fs::copy(&file, &copy).map_err(CalibError::io(file))?;
        }
    }
    let observer = engines.first().zip(range_rows.as_ref()).map(|(engine, rows)| Observer {
        engine: Arc::clone(engine),
        bundle: &bundle,
        rows,
        threads: request.threads,
    });
    let benches: Vec<Bench<'_>> = engines
        .into_iter()
        .map(|engine| Bench { engine, bundle: &bundle, rows: &rows, threads: request.threads, precision })
        .collect();
    let mut manifest = bundle.manifest().clone();
    let mut report = Report::new(request, bundle.task());
    for variant in variants {
        let (artifact, file) = bundle.artifact(variant, Precision::F32)?;
        let path = format!("{}/{variant}{}.onnx", names::GRAPHS, precision.file_suffix());
        let work = Work {
            request,
            benches: &benches,
            observer: observer.as_ref(),
            variant,
            f32: OnnxGraph::read(&file)?,
            out: writer.path(&path),
        };
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

/// The graphs that are asked for, each once; all that encode products where `wanted` is `None`.
pub(crate) fn variants(bundle: &Bundle, wanted: Option<&[Variant]>) -> Result<Vec<Variant>, CalibError> {
    let there = |variant: Variant| bundle.manifest().artifact(variant, Precision::F32).is_some();
    let wanted = match wanted {
        Some(wanted) => wanted.to_vec(),
        None => Variant::ENCODERS.into_iter().filter(|&variant| there(variant)).collect(),
    };
    if wanted.contains(&Variant::Pair) {
        return Err(CalibError::Setting("the pair head stays in f32: give full, text or image".to_owned()));
    }
    if let Some(part) = wanted.iter().find(|variant| Variant::PARTS.contains(variant)) {
        return Err(CalibError::Setting(format!("the {part} graph stays as it is: give full, text or image")));
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

/// The engines that are there, at least one of them, and those that are not.
pub(crate) fn engines(wanted: &Engines) -> Result<(Vec<Arc<dyn Engine>>, Absent), CalibError> {
    let (mut engines, mut absent) = (Vec::new(), Vec::new());
    let mut last: Option<EngineError> = None;
    for &kind in &wanted.kinds {
        match engine::open(kind, &wanted.options) {
            Ok(engine) => engines.push(engine),
            Err(error) if wanted.optional => {
                absent.push((kind, std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string)));
                last = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match last {
        Some(error) if engines.is_empty() => Err(error.into()),
        None if engines.is_empty() => Err(CalibError::Setting("no engine was given".to_owned())),
        _ => Ok((engines, absent)),
    }
}
