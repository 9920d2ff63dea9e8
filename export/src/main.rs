//! `mbsd-export`: compiles a checkpoint into a bundle.

mod cli;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use mbsd_export::bundle::{ExportReport, ExportRequest, export};
use mbsd_runtime::engine::EngineOptions;
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
    let json = arguments.json;
    let report = export(&ExportRequest {
        checkpoint: arguments.checkpoint,
        config: arguments.config,
        task: arguments.task,
        variants: arguments.variants,
        tokenizer: arguments.tokenizer,
        labels: arguments.labels,
        engines: arguments.engines,
        engine_options: EngineOptions { onnxruntime: arguments.onnxruntime },
        out: arguments.out.clone(),
    })?;
    for name in &report.weights.unexpected {
        eprintln!("note: the weights' `{name}` is no part of the model and was left out");
    }
    for (engine, reason) in &report.unmeasured {
        eprintln!("note: parity with {engine} was not measured: {reason}");
    }
    if !report.tokenizer {
        eprintln!("note: no tokenizer was given or found: the bundle serves `mbsd run` only");
    }
    let text = if json {
        serde_json::to_string_pretty(&report.manifest)? + "\n"
    } else {
        format!("{}wrote {} in {:.1} s\n", table(&report), arguments.out.display(), started.elapsed().as_secs_f64())
    };
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
    text
}
