//! `mbsd inspect`: what is in a bundle, and what can run it on this machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Result, bail};
use mbsd_runtime::engine::{self, EngineError, EngineKind, EngineOptions, causes, shape_text};
use mbsd_runtime::onnx::{Graph, Polynomial};
use mbsd_spec::bundle::{Artifact, Parity};
use mbsd_spec::{Attention, Bundle, Task};
use serde::Serialize;
use serde_json::json;

use crate::cli::InspectArgs;

pub(crate) fn run(args: InspectArgs) -> Result<()> {
    let text = match (&args.file, &args.bundle) {
        (Some(path), _) => graph(path, &args)?,
        (None, Some(bundle)) => {
            let bundle = Bundle::open(bundle)?;
            match args.graph {
                Some(variant) => graph(&bundle.artifact(variant, args.precision)?.1, &args)?,
                None if args.sizes.is_empty() => summary(&bundle, &args)?,
                None => bail!("--sizes needs --graph: which graph's multiply-adds?"),
            }
        }
        (None, None) => bail!("name a --bundle or a --file"),
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

fn graph(path: &Path, args: &InspectArgs) -> Result<String> {
    let mut graph = Graph::read(path)?;
    if let Err(error) = graph.infer_shapes(path) {
        eprintln!("note: only the shapes that the file states are shown: {}", causes(&error));
    }
    let counted = graph.multiply_adds();
    let at = multiply_adds_at(&counted.total, &args.sizes)?;
    if args.json {
        let at = at.map(|(sizes, count)| json!({ "sizes": sizes, "count": u64::try_from(count).unwrap_or(u64::MAX) }));
        let multiply_adds =
            json!({ "polynomial": counted.total.to_string(), "at": at, "uncounted": counted.uncounted });
        return Ok(format!("{}\n", serde_json::to_string_pretty(&Counted { graph: &graph, multiply_adds })?));
    }
    let mut text = graph.text();
    writeln!(text, "multiply-adds {}", counted.total)?;
    if let Some((sizes, count)) = at {
        let sizes: Vec<String> = sizes.iter().map(|(name, size)| format!("{name} = {size}")).collect();
        let sizes = if sizes.is_empty() { "any size".to_owned() } else { sizes.join(", ") };
        writeln!(text, "  at {sizes}: {:.2} GMAC", count as f64 / 1e9)?;
    }
    if !counted.uncounted.is_empty() {
        let names: Vec<&str> = counted.uncounted.iter().map(String::as_str).collect();
        writeln!(text, "  without {}, of which the shapes or the rule are not known", names.join(", "))?;
    }
    Ok(text)
}

/// A graph with what it multiplies and adds.
#[derive(Debug, Serialize)]
struct Counted<'a> {
    #[serde(flatten)]
    graph: &'a Graph,
    multiply_adds: serde_json::Value,
}

/// The count at the given sizes and a batch of 1, where sizes are given or none but the batch is needed.
fn multiply_adds_at(total: &Polynomial, given: &[(String, u64)]) -> Result<Option<(BTreeMap<String, u64>, i128)>> {
    let mut sizes: BTreeMap<String, u64> = given.iter().cloned().collect();
    if let Some(unknown) = sizes.keys().find(|name| total.sizes().all(|size| size != **name)) {
        let known: Vec<&str> = total.sizes().collect();
        bail!("--sizes names `{unknown}`; the graph's multiply-adds depend on {}", known.join(", "));
    }
    if total.sizes().any(|size| size == "batch") {
        sizes.entry("batch".to_owned()).or_insert(1);
    }
    match total.eval(&sizes) {
        Ok(count) => Ok(Some((sizes, count))),
        Err(_) if given.is_empty() => Ok(None),
        Err(missing) => bail!("--sizes must give `{missing}` too"),
    }
}

/// An engine on this machine.
#[derive(Debug, Serialize)]
struct Availability {
    engine: &'static str,
    available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    library: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

fn engines(options: &EngineOptions) -> Vec<Availability> {
    let one = |&kind: &EngineKind| match engine::open(kind, options) {
        Ok(engine) => Availability {
            engine: kind.name(),
            available: true,
            version: Some(engine.version()),
            library: engine.library().map(|library| library.path.display().to_string()),
            found: engine.library().map(|library| library.origin.to_string()),
            reason: None,
        },
        Err(error) => {
            let reason = match &error {
                EngineError::Unavailable { source, .. } => causes(source.as_ref()),
                other => causes(other),
            };
            Availability {
                engine: kind.name(),
                available: false,
                version: None,
                library: None,
                found: None,
                reason: Some(reason),
            }
        }
    };
    EngineKind::ALL.iter().map(one).collect()
}

fn summary(bundle: &Bundle, args: &InspectArgs) -> Result<String> {
    let engines = engines(&EngineOptions { onnxruntime: args.onnxruntime.clone() });
    let (manifest, config) = (bundle.manifest(), bundle.config());
    if args.json {
        let report = json!({
            "bundle": bundle.root(), "digests": "ok", "manifest": manifest, "config": config, "engines": engines,
        });
        return Ok(format!("{report:#}\n"));
    }
    let mut text = String::new();
    let mut line = |name: &str, value: String| writeln!(text, "{name:<8} {value}");
    line("bundle", bundle.root().display().to_string())?;
    let mut task = manifest.task.to_string();
    if !manifest.labels.is_empty() {
        task.push_str(&format!(", {} classes", manifest.labels.len()));
    }
    if let Some(threshold) = manifest.threshold {
        task.push_str(&format!(", threshold {threshold}"));
    }
    for (name, threshold) in &manifest.thresholds {
        task.push_str(&format!(", {name} {threshold}"));
    }
    line("task", task)?;
    let side = config.image_size;
    let layers = format!("{} layers of {} units", config.num_hidden_layers, config.hidden_size);
    line(
        "model",
        format!("{layers}, {} heads, {} parameters", config.num_attention_heads, manifest.provenance.parameters),
    )?;
    match config.attention {
        _ if manifest.task != Task::Match => {}
        Attention::Full => line("tags", "attention full: a product is read anew for each of its tags".to_owned())?,
        Attention::OneWay { title_position } => {
            let what = "a product is read once for all of its tags";
            line("tags", format!("attention one-way: {what}, of at most {title_position} tokens each"))?;
        }
    }
    line("image", format!("{side} x {side} pixels in patches of {}", config.patch_size))?;
    line("text", format!("at most {} tokens, {} words", manifest.max_text_tokens, config.vocab_size))?;
    line("files", format!("{}, all digests right", manifest.files.len()))?;
    line("made by", manifest.provenance.producer.clone())?;
    text.push_str("graphs\n");
    for artifact in &manifest.artifacts {
        describe(&mut text, artifact)?;
    }
    text.push_str("engines here\n");
    for one in &engines {
        let Availability { engine, version, library, found, reason, .. } = one;
        write!(text, "  {engine:<13}")?;
        match (version, reason) {
            (Some(version), _) => write!(text, "{version}")?,
            (None, Some(reason)) => write!(text, "not available: {reason}")?,
            (None, None) => {}
        }
        if let (Some(library), Some(found)) = (library, found) {
            write!(text, " ({library}, {found})")?;
        }
        text.push('\n');
    }
    Ok(text)
}

fn describe(text: &mut String, artifact: &Artifact) -> Result<()> {
    let Artifact { variant, precision, path, opset, bytes, inputs, outputs, parity, quantization } = artifact;
    writeln!(text, "  {variant} {precision}: {path}, {:.1} MB, opset {opset}", *bytes as f64 / 1e6)?;
    for (title, specs) in [("in", inputs), ("out", outputs)] {
        for spec in specs {
            writeln!(text, "    {title:<7} {} {} {}", spec.name, spec.dtype, shape_text(&spec.shape))?;
        }
    }
    for (engine, parity) in parity {
        match parity {
            Parity::Measured(m) => writeln!(
                text,
                "    parity  {engine} {}: max difference {:.2e}, mean {:.2e}, {} rows",
                m.engine_version, m.max_abs_diff, m.mean_abs_diff, m.rows
            )?,
            Parity::NotMeasured(why) => writeln!(text, "    parity  {engine}: {why}")?,
        }
    }
    for (engine, m) in quantization.iter().flat_map(|quantization| &quantization.measured) {
        writeln!(
            text,
            "    quality {engine} {}: {} {:.4}, f32 {:.4}, {} rows; {:.2} times as fast as f32",
            m.engine_version, m.measure, m.quantized, m.f32, m.rows, m.speedup
        )?;
    }
    Ok(())
}
