//! Makes a bundle of a checkpoint: graphs, tokenizer, preprocessing, manifest, and parity as measured.

mod parity;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use mbsd_net::{Head, Mbsd, WeightsReport};
use mbsd_runtime::engine::{EngineKind, EngineOptions};
use mbsd_spec::bundle::{
    Artifact, BundleWriter, DimSpec, Parity, Provenance, SCHEMA_VERSION, StagedFolder, TensorSpec, names,
};
use mbsd_spec::{Bundle, Config, Manifest, Precision, Preprocessor, Task, Tokenizer, Variant};

use crate::graph::{Graph, ValueId};
use crate::layout::{self, Layout, LayoutOptions};
use crate::{mbsd, onnx};

/// Probability from which a tag or pair counts as matching, where a checkpoint names no other.
const DEFAULT_THRESHOLD: f32 = 0.5;

/// What to export, and from where.
#[derive(Debug, Clone)]
pub struct ExportRequest {
    /// A safetensors file, or a folder with `model.safetensors`.
    pub checkpoint: PathBuf,
    /// The architecture; by default `config.json` beside the weights.
    pub config: Option<PathBuf>,
    /// What the weights are expected to be; by default what they are.
    pub task: Option<Task>,
    /// The graphs wanted. Alignment always gets its pair head as well.
    pub variants: Vec<Variant>,
    /// Each graph in each of these: single and half precision. 8-bit graphs are made of a bundle, by calibration.
    pub precisions: Vec<Precision>,
    /// Keep the weights of all graphs once, in `onnx/weights.bin`, instead of in every graph.
    pub shared_weights: bool,
    /// A `vocab.txt` or `tokenizer.json`; by default `tokenizer.json` or `vocab.txt` beside the weights, and where
    /// there is none the bundle serves `run`, `bench` and `verify` only.
    pub tokenizer: Option<PathBuf>,
    /// Class names, one a line; by default `labels.txt` beside the weights, else `0` to `C-1`.
    pub labels: Option<PathBuf>,
    /// Engines to measure parity with.
    pub engines: Vec<EngineKind>,
    /// Where the engines' libraries are.
    pub engine_options: EngineOptions,
    /// How the folder is to lie on disk.
    pub layout: Layout,
    /// The Triton layout: let TensorRT run the graphs where there is a GPU.
    pub tensorrt: bool,
    /// The folder to be written: new or empty.
    pub out: PathBuf,
}

/// What was exported.
#[derive(Debug, Clone)]
pub struct ExportReport {
    /// The manifest as written.
    pub manifest: Manifest,
    /// What became of the tensors of the checkpoint.
    pub weights: WeightsReport,
    /// Why an engine's parity was not measured, by engine name.
    pub unmeasured: BTreeMap<String, String>,
    /// Whether the bundle has a tokenizer.
    pub tokenizer: bool,
    /// Size of the file of shared weights, where there is one.
    pub shared_weights: Option<u64>,
}

/// Exports a checkpoint. The folder appears at its place only when it is whole.
///
/// # Errors
/// With what was being done and what to do about it: unreadable files, weights that do not fit the configuration, a
/// tokenizer that does not fit the vocabulary, a destination that is taken, a graph that cannot be compiled.
pub fn export(request: &ExportRequest) -> anyhow::Result<ExportReport> {
    use anyhow::Context;
    if request.layout == Layout::Bundle {
        return export_bundle(request, &request.out);
    }
    anyhow::ensure!(
        !request.shared_weights,
        "--shared-weights belongs to the bundle layout: servers and the Hub take self-contained graphs only"
    );
    // A bundle first, beside the destination so that its graphs can be moved there.
    drop(StagedFolder::create(&request.out)?);
    let beside = request.out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let scratch = tempfile::Builder::new()
        .prefix(".export-")
        .tempdir_in(beside)
        .with_context(|| format!("cannot write in {}", beside.display()))?;
    let path = scratch.path().join("bundle");
    let report = export_bundle(request, &path)?;
    let options = LayoutOptions { tensorrt: request.tensorrt, take_graphs: true };
    layout::write(&Bundle::open(&path)?, request.layout, options, &request.out)?;
    Ok(report)
}

fn export_bundle(request: &ExportRequest, out: &Path) -> anyhow::Result<ExportReport> {
    use anyhow::Context;
    let folder = folder_of(&request.checkpoint);
    let config_path = request.config.clone().unwrap_or_else(|| folder.join(names::CONFIG));
    let config = Config::from_file(&config_path).context("no usable configuration, give one with --config")?;
    let tokenizer = find(request.tokenizer.as_ref(), &folder, &[names::TOKENIZER, "vocab.txt"])
        .map(|path| {
            let tokenizer = Tokenizer::from_file(&path)?;
            tokenizer.check_fits(&config).with_context(|| format!("tokenizer {}", path.display()))?;
            anyhow::Ok(tokenizer)
        })
        .transpose()?;
    let precisions = precisions(&request.precisions)?;
    let writer = BundleWriter::create(out)?;
    let device = Device::flex();
    let (model, weights) = mbsd_net::load(&request.checkpoint, &config, request.task, &device)?;
    let model = model.no_grad();
    if request.layout != Layout::Bundle {
        layout::check_attention(model.head().task(), &config)?;
    }
    let labels = labels(find(request.labels.as_ref(), &folder, &["labels.txt"]), model.head())?;

    let mut manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        task: model.head().task(),
        labels,
        threshold: (model.head().task() != Task::Classification).then_some(DEFAULT_THRESHOLD),
        thresholds: BTreeMap::new(),
        max_text_tokens: config.max_text_tokens(),
        artifacts: Vec::new(),
        files: BTreeMap::new(),
        provenance: provenance(&request.checkpoint, &folder, &model)?,
    };
    let mut shared =
        request.shared_weights.then(|| onnx::SharedWeights::create(writer.path(names::WEIGHTS))).transpose()?;
    let mut references = BTreeMap::new();
    for variant in variants(&request.variants, manifest.task) {
        let single =
            mbsd::compile(&model, &config, variant).with_context(|| format!("compiling the {variant} graph"))?;
        for &precision in &precisions {
            let graph = in_precision(&single, precision);
            let path = format!("{}/{variant}{}.onnx", names::GRAPHS, precision.file_suffix());
            let name = format!("mbsd_{}_{variant}", manifest.task);
            let options = onnx::WriteOptions { name, metadata: Vec::new() };
            let bytes = match &mut shared {
                Some(shared) => onnx::write_shared(&graph, writer.path(&path), &options, shared)?,
                None => onnx::write(&graph, writer.path(&path), &options)?,
            };
            manifest.artifacts.push(Artifact {
                variant,
                precision,
                path,
                opset: onnx::OPSET,
                bytes,
                inputs: tensor_specs(&graph, &graph.inputs),
                outputs: tensor_specs(&graph, &graph.outputs),
                parity: BTreeMap::new(),
                quantization: None,
            });
        }
        let reference = parity::reference(&model, &config, variant)?;
        reference.write(&writer.path(&names::reference(variant)))?;
        references.insert(variant, reference);
    }
    let shared_weights = shared.map(onnx::SharedWeights::finish).transpose()?;
    // The engines hold the weights themselves: with the module gone first, an export never holds them three times.
    drop(model);
    let mut unmeasured = BTreeMap::new();
    for &kind in &request.engines {
        let measured = parity::measure(kind, &request.engine_options, &writer, &manifest.artifacts, &references)?;
        match measured {
            Ok(all) => {
                for (artifact, measured) in manifest.artifacts.iter_mut().zip(all) {
                    artifact.parity.insert(kind.to_string(), Parity::Measured(measured));
                }
            }
            Err(reason) => {
                for artifact in &mut manifest.artifacts {
                    artifact.parity.insert(kind.to_string(), Parity::NotMeasured(parity::NOT_MEASURED.to_owned()));
                }
                unmeasured.insert(kind.to_string(), reason);
            }
        }
    }
    writer.write(names::CONFIG, config.to_json())?;
    writer.write(names::PREPROCESSOR, Preprocessor::new(&config).to_json())?;
    if let Some(tokenizer) = &tokenizer {
        writer.write(names::TOKENIZER, tokenizer.to_json())?;
    }
    let manifest = writer.finish(manifest)?;
    Ok(ExportReport { manifest, weights, unmeasured, tokenizer: tokenizer.is_some(), shared_weights })
}

/// The precisions asked for, each once.
fn precisions(asked: &[Precision]) -> anyhow::Result<Vec<Precision>> {
    if let Some(other) = asked.iter().find(|precision| !matches!(precision, Precision::F32 | Precision::F16)) {
        anyhow::bail!("an export writes f32 and f16; `mbsd calibrate` makes {other} graphs of an f32 bundle");
    }
    anyhow::ensure!(!asked.is_empty(), "no precision was asked for: give f32, f16 or both");
    let both = [Precision::F32, Precision::F16];
    Ok(both.into_iter().filter(|precision| asked.contains(precision)).collect())
}

/// The graph in another precision.
fn in_precision(graph: &Graph, precision: Precision) -> Graph {
    let mut graph = graph.clone();
    if precision == Precision::F16 {
        mbsd::to_half(&mut graph);
    }
    graph
}

/// The folder that a checkpoint's companions lie in.
fn folder_of(checkpoint: &Path) -> PathBuf {
    if checkpoint.is_dir() {
        return checkpoint.to_owned();
    }
    match checkpoint.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// What was asked for, else the first of the usual names that is there.
fn find(given: Option<&PathBuf>, folder: &Path, usual: &[&str]) -> Option<PathBuf> {
    given.cloned().or_else(|| usual.iter().map(|name| folder.join(name)).find(|path| path.is_file()))
}

fn variants(wanted: &[Variant], task: Task) -> Vec<Variant> {
    let mut all: Vec<Variant> = Variant::ALL.iter().copied().filter(|v| wanted.contains(v)).collect();
    if task == Task::Alignment && !all.contains(&Variant::Pair) {
        all.push(Variant::Pair);
    }
    all
}

fn labels(path: Option<PathBuf>, head: Head) -> anyhow::Result<Vec<String>> {
    use anyhow::{Context, bail};
    let Head::Classification { classes } = head else { return Ok(Vec::new()) };
    let Some(path) = path else { return Ok((0..classes).map(|class| class.to_string()).collect()) };
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read the labels {}", path.display()))?;
    let labels: Vec<String> = text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect();
    if labels.len() != classes {
        bail!("{} names {} labels, the weights have {classes} classes", path.display(), labels.len());
    }
    Ok(labels)
}

fn provenance(checkpoint: &Path, folder: &Path, model: &Mbsd) -> anyhow::Result<Provenance> {
    let weights = if checkpoint.is_dir() { checkpoint.join("model.safetensors") } else { checkpoint.to_owned() };
    Ok(Provenance {
        producer: format!("mbsd-export {}", env!("CARGO_PKG_VERSION")),
        weights_sha256: mbsd_spec::bundle::sha256_file(&weights)?,
        parameters: model.num_params() as u64,
        training: training(&folder.join("training.json")),
    })
}

/// The plain values at the top of `training.json`, where there is one.
fn training(path: &Path) -> BTreeMap<String, String> {
    let parsed = std::fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok());
    let Some(serde_json::Value::Object(fields)) = parsed else { return BTreeMap::new() };
    fields
        .into_iter()
        .filter_map(|(key, value)| match value {
            serde_json::Value::String(text) => Some((key, text)),
            serde_json::Value::Number(number) => Some((key, number.to_string())),
            serde_json::Value::Bool(flag) => Some((key, flag.to_string())),
            _ => None,
        })
        .collect()
}

fn tensor_specs(graph: &Graph, boundary: &[(String, ValueId)]) -> Vec<TensorSpec> {
    boundary
        .iter()
        .map(|(name, id)| TensorSpec {
            name: name.clone(),
            dtype: graph.value(*id).dtype.name().to_owned(),
            shape: graph
                .shape(*id)
                .iter()
                .map(|dim| match dim.fixed() {
                    Some(fixed) => DimSpec::Fixed(fixed as usize),
                    None => DimSpec::Symbol(dim.display(&graph.symbols).to_string()),
                })
                .collect(),
        })
        .collect()
}
