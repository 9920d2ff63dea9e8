//! The paper's Figure 8: time of image encoding and of the transformer, apart, by batch, for MBSD and the models that it is
//! compared with, all exported by the same compiler and run by the same engines.
//!
//! `cargo xtask figure8`, or `cargo run --example figure8 -- --mbsd target/debug/mbsd --out target/figure8`.

mod models;
mod page;

use std::fs;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, bail};
use clap::Parser;
use mbsd_export::onnx;
use mbsd_runtime::bench::{self, Contender, Effort, Launch, Load, PlanOptions, Subject};
use mbsd_runtime::engine::{EngineKind, EngineOptions};

use models::{IMAGE, MODELS};

#[derive(Debug, Parser)]
#[command(about = "The paper's Figure 8 on this machine")]
struct Arguments {
    /// The program `mbsd`, which runs the graphs
    #[arg(long)]
    mbsd: PathBuf,
    /// Where graphs, report, table and page go
    #[arg(long)]
    out: PathBuf,
    /// Engines; one that is not here is said in the report
    #[arg(long, value_delimiter = ',', default_value = "tract,ort-cpu")]
    engines: Vec<EngineKind>,
    /// Rows of a request [default: 1,2,4,8]
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    batch: Vec<NonZeroUsize>,
    /// Text tokens of a row
    #[arg(long, default_value = "64")]
    text: NonZeroUsize,
    /// CPU threads [default: one per core]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Rounds
    #[arg(long, default_value = "3")]
    rounds: NonZeroUsize,
    /// Models, by their names [default: all]
    #[arg(long, value_delimiter = ';')]
    models: Vec<String>,
    /// ONNX Runtime library, or the folder it is in
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// Narrow models of two layers: to see that everything works
    #[arg(long)]
    small: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let graphs = arguments.out.join("graphs");
    fs::create_dir_all(&graphs).with_context(|| format!("cannot make {}", graphs.display()))?;
    let mut subjects = Vec::new();
    let wanted = |name: &str| arguments.models.is_empty() || arguments.models.iter().any(|given| given == name);
    for model in MODELS.iter().filter(|model| wanted(model.name)) {
        // One model in memory at a time: each is made when its turn comes.
        for (part, graph) in model.graphs(arguments.small)? {
            let name = format!("{} {part}", model.name);
            let path = graphs.join(format!("{}.onnx", name.replace(", ", "-").replace(' ', "-")));
            onnx::write(&graph, &path, &onnx::WriteOptions::default())?;
            let subject = Subject::graph(&name, &path)?;
            let one_by_one = model.is_heavy() && part == IMAGE;
            subjects.push(if one_by_one { subject.in_chunks(NonZeroUsize::MIN, NonZeroUsize::MIN) } else { subject });
        }
        eprintln!("exported {}", model.name);
    }
    if subjects.is_empty() {
        bail!("no model is named so; there are {}", MODELS.map(|model| model.name).join("; "));
    }
    let options = PlanOptions {
        contenders: arguments.engines.iter().copied().map(Contender::Engine).collect(),
        variants: Vec::new(),
        precisions: Vec::new(),
        batches: arguments.batch.clone(),
        texts: vec![arguments.text],
        threads: vec![arguments.threads.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)],
        loads: vec![Load::Closed],
        pipeline: false,
        cpu_nodes: false,
        engine: EngineOptions { onnxruntime: arguments.onnxruntime.clone() },
        worker: Launch { program: arguments.mbsd.clone(), arguments: vec!["bench-worker".to_owned()] },
    };
    let effort =
        Effort { rounds: arguments.rounds.get(), seconds: 0.5, requests: 2, warm_up_seconds: 1.0, budget: None };
    let report = bench::run(&subjects, &options, &effort, |doing| eprintln!("{doing}"))?;
    let table = page::table(&report);
    for (name, text) in [
        ("report.json", report.to_json()),
        ("figure8.html", page::html(&report, arguments.text.get())),
        ("figure8.md", format!("{table}\n{}", report.markdown())),
    ] {
        let path = arguments.out.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    std::io::stdout().lock().write_all(table.as_bytes())?;
    if report.measured().next().is_none() {
        bail!("nothing could be measured; {} says why", arguments.out.join("figure8.md").display());
    }
    Ok(())
}
