//! `mbsd-export`: compiles a checkpoint into a bundle, or writes a bundle in another layout.

mod cli;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use clap::Parser;
use mbsd_export::bundle::{ExportReport, ExportRequest, export};
use mbsd_export::layout::{self, Layout, LayoutOptions};
use mbsd_runtime::engine::EngineOptions;
use mbsd_runtime::parity::tolerance;
use mbsd_spec::Bundle;
use mbsd_spec::bundle::Parity;

fn main() -> ExitCode {
    match run(cli::Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  caused by: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: cli::Arguments) -> anyhow::Result<()> {
    let started = Instant::now();
    if arguments.tensorrt && arguments.layout != Layout::Triton {
        bail!("--tensorrt belongs to --layout triton");
    }
    match (&arguments.bundle, &arguments.checkpoint) {
        (Some(bundle), _) => {
            let bundle = Bundle::open(bundle)?;
            let options = LayoutOptions { tensorrt: arguments.tensorrt, take_graphs: false };
            layout::write(&bundle, arguments.layout, options, &arguments.out)?;
            let text = if arguments.json {
                serde_json::to_string_pretty(bundle.manifest())? + "\n"
            } else {
                wrote(&arguments.out, started)
            };
            print(&text)
        }
        (None, Some(checkpoint)) => compile(checkpoint, &arguments, started),
        (None, None) => bail!("give --checkpoint or --bundle"),
    }
}

fn compile(checkpoint: &Path, arguments: &cli::Arguments, started: Instant) -> anyhow::Result<()> {
    let json = arguments.json;
    let report = export(&ExportRequest {
        checkpoint: checkpoint.to_owned(),
        config: arguments.config.clone(),
        task: arguments.task,
        variants: arguments.variants.clone(),
        precisions: arguments.precision.clone(),
        shared_weights: arguments.shared_weights,
        tokenizer: arguments.tokenizer.clone(),
        labels: arguments.labels.clone(),
        engines: arguments.engines.clone(),
        engine_options: EngineOptions { onnxruntime: arguments.onnxruntime.clone() },
        layout: arguments.layout,
        tensorrt: arguments.tensorrt,
        out: arguments.out.clone(),
    })?;
    for name in &report.weights.unexpected {
        eprintln!("note: the weights' `{name}` is no part of the model and was left out");
    }
    for (engine, reason) in &report.unmeasured {
        eprintln!("note: parity with {engine} was not measured: {reason}");
    }
    for artifact in &report.manifest.artifacts {
        for (engine, parity) in &artifact.parity {
            if let (Parity::Measured(measured), Some(limit)) = (parity, tolerance(artifact.precision))
                && measured.max_abs_diff > limit
            {
                let (variant, precision) = (artifact.variant, artifact.precision);
                let by = measured.max_abs_diff;
                eprintln!(
                    "note: the {precision} {variant} graph differs by {by:.1e} with {engine}, more than {limit:.0e}"
                );
            }
        }
    }
    if !report.tokenizer {
        eprintln!("note: no tokenizer was given or found: the bundle serves `mbsd run` and `mbsd verify` only");
    }
    let text = if json {
        serde_json::to_string_pretty(&report.manifest)? + "\n"
    } else {
        table(&report) + &wrote(&arguments.out, started)
    };
    print(&text)
}

fn wrote(out: &Path, started: Instant) -> String {
    format!("wrote {} in {:.1} s\n", out.display(), started.elapsed().as_secs_f64())
}

fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// One line a graph: size and parity.
fn table(report: &ExportReport) -> String {
    let mut text = format!("{} model, {} parameters\n", report.manifest.task, report.manifest.provenance.parameters);
    for artifact in &report.manifest.artifacts {
        let parity: Vec<String> = artifact
            .parity
            .iter()
            .map(|(engine, parity)| match parity {
                Parity::Measured(m) => format!("{engine} within {:.1e} of Burn", m.max_abs_diff),
                Parity::NotMeasured(reason) => format!("{engine} {reason}"),
            })
            .collect();
        text += &format!(
            "  {:5} {} {:>8.1} MB  {}\n",
            artifact.variant,
            artifact.precision,
            artifact.bytes as f64 / 1e6,
            parity.join(", ")
        );
    }
    if let Some(bytes) = report.shared_weights {
        text += &format!("  weights of all graphs {:>6.1} MB\n", bytes as f64 / 1e6);
    }
    text
}
