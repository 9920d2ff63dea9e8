//! Other packagings of a bundle, written from it: a Triton model repository, a folder for the Hugging Face Hub.
//!
//! Both carry self-contained graphs only, and a client in Python that turns products into tensors: `integrations/`.

mod hf;
mod triton;

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};
use mbsd_runtime::onnx;
use mbsd_spec::bundle::{Artifact, StagedFolder, names};
use mbsd_spec::{Bundle, Config, Task, Variant};
use serde_json::{Map, Value, json};

/// Products to tensors and scores, for every server.
const PRODUCTS_CLIENT: (&str, &str) = ("mbsd_products.py", include_str!("../../integrations/mbsd_products.py"));

/// How exported graphs lie on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// The folder that `mbsd` reads.
    #[default]
    Bundle,
    /// A folder as transformers, optimum and the Hugging Face Hub have it.
    Hf,
    /// A model repository of Triton Inference Server, with a client beside it.
    Triton,
}

impl FromStr for Layout {
    type Err = UnknownLayout;

    fn from_str(given: &str) -> Result<Self, UnknownLayout> {
        match given {
            "bundle" => Ok(Self::Bundle),
            "hf" => Ok(Self::Hf),
            "triton" => Ok(Self::Triton),
            _ => Err(UnknownLayout { given: given.to_owned() }),
        }
    }
}

/// A name that no layout has.
#[derive(Debug, thiserror::Error)]
#[error("unknown layout `{given}`: use one of bundle, hf, triton")]
pub struct UnknownLayout {
    given: String,
}

/// How a layout is to be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct LayoutOptions {
    /// Triton: let TensorRT run the graphs where there is a GPU.
    pub tensorrt: bool,
    /// Take the graphs out of the bundle, which is not used any more, instead of copying them.
    pub take_graphs: bool,
}

/// Writes a bundle in another layout. The folder appears at its place only when it is whole.
///
/// # Errors
/// If the destination is taken, the bundle has no tokenizer or keeps its weights outside its graphs, or a file cannot be
/// written.
pub fn write(bundle: &Bundle, layout: Layout, options: LayoutOptions, out: &Path) -> anyhow::Result<()> {
    if layout == Layout::Bundle {
        bail!("{} is a bundle already: copy the folder, or choose --layout hf or triton", bundle.root().display());
    }
    if bundle.file(names::WEIGHTS)?.is_some() {
        bail!(
            "the graphs of {} keep their weights in {}, which only the bundle layout has: export it again without \
             --shared-weights",
            bundle.root().display(),
            names::WEIGHTS
        );
    }
    check_attention(bundle.task(), bundle.config())?;
    if bundle.manifest().artifacts.is_empty() {
        bail!("{} has no graphs", bundle.root().display());
    }
    let folder = StagedFolder::create(out)?;
    match layout {
        Layout::Hf => hf::write(bundle, options, &folder)?,
        _ => triton::write(bundle, options, &folder)?,
    }
    Ok(folder.finish()?)
}

/// Refuses what the clients of these layouts cannot feed.
pub(crate) fn check_attention(task: Task, config: &Config) -> anyhow::Result<()> {
    if config.title_position(task).is_some() {
        bail!(
            "graphs that read tags apart from products (one-way attention) are for `mbsd`, the clients of the hf and triton \
             layouts make sequences: choose --layout bundle, and copy the folder as it is"
        );
    }
    Ok(())
}

/// The bundle's tokenizer, without which neither layout serves products.
fn tokenizer(bundle: &Bundle) -> anyhow::Result<PathBuf> {
    bundle.file(names::TOKENIZER)?.context(
        "the bundle has no tokenizer.json, which clients of this layout need; export with `--tokenizer vocab.txt`",
    )
}

/// Copies a graph, or moves it. One that refers to weights elsewhere is refused.
fn place_graph(bundle: &Bundle, artifact: &Artifact, options: LayoutOptions, to: &Path) -> anyhow::Result<()> {
    let (_, from) = bundle.artifact(artifact.variant, artifact.precision)?;
    let graph = onnx::Graph::read(&from)?;
    if let Some(outside) = graph.initializers.iter().find_map(|one| one.external.as_ref()) {
        bail!("{} keeps weights in {outside}: this layout needs self-contained graphs", artifact.path);
    }
    let placed = if options.take_graphs { fs::rename(&from, to) } else { fs::copy(&from, to).map(drop) };
    placed.with_context(|| format!("cannot write {}", to.display()))
}

fn copy(from: &Path, folder: &StagedFolder, relative: &str) -> anyhow::Result<()> {
    let to = folder.place(relative)?;
    fs::copy(from, &to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}

/// A `config.json` with the names of transformers, and under `mbsd` what the clients need to know besides.
///
/// `graphs` are the names that the layout gives to the graphs, in the order of the manifest.
fn config(bundle: &Bundle, graphs: &[String]) -> anyhow::Result<String> {
    let manifest = bundle.manifest();
    let Value::Object(mut config) = serde_json::from_str(&bundle.config().to_json())? else {
        bail!("the configuration is no JSON object");
    };
    let labels: Vec<&str> = match manifest.task {
        mbsd_spec::Task::Match => vec!["match"],
        mbsd_spec::Task::Classification => manifest.labels.iter().map(String::as_str).collect(),
        mbsd_spec::Task::Alignment => Vec::new(),
    };
    let architecture = if labels.is_empty() { "BertModel" } else { "BertForSequenceClassification" };
    config.insert("architectures".to_owned(), json!([architecture]));
    if !labels.is_empty() {
        let by_id = labels.iter().enumerate().map(|(id, label)| (id.to_string(), json!(label)));
        config.insert("id2label".to_owned(), Value::Object(by_id.collect()));
        let by_label = labels.iter().enumerate().map(|(id, label)| ((*label).to_owned(), json!(id)));
        config.insert("label2id".to_owned(), Value::Object(by_label.collect()));
        // One sigmoid a tag; a softmax over classes.
        let one_of_many = manifest.task == mbsd_spec::Task::Classification;
        let kind = if one_of_many { "single_label_classification" } else { "multi_label_classification" };
        config.insert("problem_type".to_owned(), json!(kind));
    }
    let one = |(artifact, name): (&Artifact, &String)| {
        json!({
            "name": name, "variant": artifact.variant, "precision": artifact.precision,
            "inputs": artifact.inputs.iter().map(|spec| &spec.name).collect::<Vec<_>>(),
        })
    };
    let mut ours = Map::new();
    ours.insert("task".to_owned(), json!(manifest.task));
    if let Some(threshold) = manifest.threshold {
        ours.insert("threshold".to_owned(), json!(threshold));
    }
    ours.insert("max_text_tokens".to_owned(), json!(manifest.max_text_tokens));
    ours.insert("graphs".to_owned(), manifest.artifacts.iter().zip(graphs).map(one).collect());
    config.insert("mbsd".to_owned(), Value::Object(ours));
    Ok(serde_json::to_string_pretty(&Value::Object(config))? + "\n")
}

/// The bundle's `preprocessor_config.json`, with the name that transformers chooses an image processor by.
fn preprocessor(bundle: &Bundle) -> anyhow::Result<String> {
    let text = match bundle.file(names::PREPROCESSOR)? {
        Some(path) => fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?,
        None => mbsd_spec::Preprocessor::new(bundle.config()).to_json(),
    };
    let mut value: Value = serde_json::from_str(&text)?;
    value["image_processor_type"] = json!("ViTImageProcessor");
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

/// A line a graph: what it differs from the trained model by, as measured at export.
fn parity_table(bundle: &Bundle, graphs: &[String]) -> String {
    use mbsd_spec::bundle::Parity;
    let mut text =
        "| graph | products with | precision | largest difference from the trained model |\n|---|---|---|---|\n"
            .to_owned();
    for (artifact, name) in bundle.manifest().artifacts.iter().zip(graphs) {
        let has = match artifact.variant {
            Variant::Full => "title and image",
            Variant::Text => "a title",
            Variant::Image => "an image",
            Variant::Pair => "two pooled vectors",
            other => other.name(),
        };
        let parity = artifact.parity.iter().map(|(engine, parity)| match parity {
            Parity::Measured(m) => format!("{:.1e} ({engine} {})", m.max_abs_diff, m.engine_version),
            Parity::NotMeasured(why) => format!("{why} ({engine})"),
        });
        let parity = parity.collect::<Vec<_>>().join(", ");
        let parity = if parity.is_empty() { "not measured".to_owned() } else { parity };
        text += &format!("| `{name}` | {has} | {} | {parity} |\n", artifact.precision);
    }
    text
}
