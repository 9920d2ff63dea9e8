//! `cargo xtask demo`: from nothing to tagged products, on any machine, in a few minutes.
//!
//! Every step is a program of this workspace, run as a user would run it: the command lines are
//! printed, and what each step makes stays in `target/demo`.

mod results;
mod steps;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::catalogue::{self, Product, Sizes};
use crate::onnxruntime;
use crate::report::{self, Measurement, Report, Throughput};
use crate::workspace::{Workspace, execute, time};

/// Arguments of `cargo xtask demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Seed of the catalogue
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Few products and little training: shows that every step works, not what a model can learn
    #[arg(long)]
    quick: bool,
}

impl DemoArgs {
    /// The quick demo.
    pub(crate) const QUICK: Self = Self { seed: 7, quick: true };
}

/// Graphs that are compared, as the command line names them.
const VARIANTS: [&str; 3] = ["full", "text", "image"];

const SIZES: Sizes = Sizes { train: 2400, validation: 200, held_out: 300 };
const QUICK_SIZES: Sizes = Sizes { train: 200, validation: 40, held_out: 40 };
const QUICK_EPOCHS: &str = "1";

/// ROC-AUC below which the full graph has learnt nothing worth showing.
const WORTH_SHOWING: f64 = 0.9;

/// Runs the demo.
///
/// # Errors
/// If a step fails; the message has its command line.
pub(crate) fn run(workspace: &Workspace, args: &DemoArgs) -> Result<()> {
    let library = onnxruntime::available(workspace);
    match &library {
        Ok(library) => println!("ONNX Runtime: {library}"),
        Err(error) => eprintln!("{error:#}\n\nThe demo goes on with tract alone.\n"),
    }
    println!("compiling (the first time takes a while)");
    execute(&mut workspace.cargo(["build", "--workspace", "--bins"]))?;

    let sizes = if args.quick { QUICK_SIZES } else { SIZES };
    let mut demo = Demo::new(workspace, library.is_ok(), if args.quick { "demo-quick" } else { "demo" })?;
    let held_out = demo.step("drawing and describing products", |demo| {
        catalogue::write(&demo.folder.join("catalogue"), args.seed, sizes)
    })?;
    demo.step("training", |demo| demo.train(args.quick))?;
    demo.step("compiling to ONNX, measuring parity", Demo::export)?;
    let runs = demo.step("tagging held-out products", Demo::tag)?;
    let measurements = demo.step("measuring every graph on every engine", Demo::measure)?;

    let report = demo.report(&held_out, sizes, runs, measurements)?;
    print_table(&report);
    let path = demo.folder.join("report.html");
    fs::write(&path, report.html()).with_context(|| format!("cannot write {}", path.display()))?;
    println!("\nreport: {}", workspace.shown(&path));
    if !args.quick {
        let best = report.measurements.iter().filter(|m| m.variant == "full").map(|m| m.auc).fold(0.0, f64::max);
        ensure!(best > WORTH_SHOWING, "the full graph's ROC-AUC is {best:.3}, expected more than {WORTH_SHOWING}");
    }
    Ok(())
}

/// A demo under way.
struct Demo<'a> {
    workspace: &'a Workspace,
    /// Where everything it makes lies.
    folder: PathBuf,
    /// Whether ONNX Runtime could be had.
    onnxruntime: bool,
    times: Vec<(&'static str, Duration)>,
}

impl<'a> Demo<'a> {
    /// Starts in an empty folder of the build folder: what an earlier demo left there goes.
    fn new(workspace: &'a Workspace, onnxruntime: bool, name: &str) -> Result<Self> {
        let folder = workspace.target.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { workspace, folder, onnxruntime, times: Vec::new() })
    }

    fn step<T>(&mut self, name: &'static str, act: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        println!("\n== {name}");
        let begin = Instant::now();
        let result = act(self).with_context(|| format!("{name} failed"))?;
        self.times.push((name, begin.elapsed()));
        println!("== {name}: {}", time(begin.elapsed()));
        Ok(result)
    }

    /// A file of the demo as a command run in the workspace's folder names it.
    fn file(&self, name: &str) -> String {
        self.workspace.shown(&self.folder.join(name)).to_string()
    }

    fn engines(&self) -> &'static [&'static str] {
        if self.onnxruntime { &["tract", "ort-cpu"] } else { &["tract"] }
    }
}

impl Demo<'_> {
    /// Puts together what the steps found.
    fn report<'p>(
        &self,
        products: &'p [Product],
        sizes: Sizes,
        throughput: Vec<Throughput>,
        measurements: Vec<Measurement>,
    ) -> Result<Report<'p>> {
        let mut answers = results::answers(&self.folder.join(self.tagged_name(self.engines()[0])))?;
        let answered =
            products.iter().map(|product| (product, answers.remove(&product.id).unwrap_or_default())).collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut notes = Vec::new();
        if !self.onnxruntime {
            notes.push("The ONNX Runtime library could not be had: everything here ran on tract.".to_owned());
        }
        Ok(Report {
            products: answered,
            measurements,
            throughput,
            trained_on: sizes.train,
            tags: catalogue::all_tags().len(),
            times: self.times.clone(),
            machine: format!("{cores} cores ({}, {})", std::env::consts::ARCH, std::env::consts::OS),
            notes,
            next: self.next_commands(),
        })
    }

    /// What to try after the demo.
    fn next_commands(&self) -> Vec<(&'static str, String)> {
        let mbsd = self.workspace.shown(&self.workspace.program_path("mbsd")).to_string();
        let (bundle, catalogue) = (self.file("bundle"), self.file("catalogue"));
        vec![
            (
                "Tag other products: a table with the columns id, title and image (a path), and a list of tags.",
                format!(
                    "{mbsd} tag --bundle {bundle} --input {catalogue}/held-out.jsonl \\\n    \
                     --tags {catalogue}/tags.txt --top 5 --output {}",
                    self.file("tagged.parquet")
                ),
            ),
            ("See what is in a bundle and which engines there are here.", format!("{mbsd} inspect --bundle {bundle}")),
            (
                "Train on your own products: change the paths, columns and sizes in a copy of this run file.",
                "cp xtask/demo.toml run.toml\n".to_owned() + &format!("{mbsd} train finetune --config run.toml"),
            ),
            (
                "Make a bundle of what was trained.",
                format!("{mbsd} export --checkpoint {} --task match --out bundle", self.file("run/best")),
            ),
        ]
    }
}

/// The table on the terminal.
fn print_table(report: &Report<'_>) {
    println!("\n{:8} {:8} {:>8} {:>13}  difference from Burn", "graph", "engine", "ROC-AUC", "questions/s");
    for m in &report.measurements {
        println!("{:8} {:8} {:>8.3} {:>13.0}  {}", m.variant, m.engine, m.auc, m.rows_per_second, m.parity.text());
    }
    println!();
    for run in &report.throughput {
        println!(
            "mbsd tag, {:8} {:>6.1} products/s with {} tags each",
            format!("{}:", run.engine),
            run.products_per_second,
            report.tags
        );
    }
    println!(
        "{} held-out products: of what they show or say, the likeliest tag is right in {:.1}%",
        report.products.len(),
        100.0 * report::accuracy(&report.products)
    );
}
