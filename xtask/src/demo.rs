//! `cargo xtask demo`: from nothing to tagged products, on any machine, in a few minutes.
//!
//! Every step is a program of this workspace, run as a user would run it: the command lines are
//! printed, and what each step makes stays in `target/demo`.

mod measure;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::catalogue::{self, Product, Sizes};
use crate::onnxruntime;
use crate::report::{self, Measurement, Parity, Report, Throughput};
use crate::workspace::{Workspace, execute, line, time};

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
    let library = match onnxruntime::ensure(workspace) {
        Ok(library) => Some(library.path(workspace)),
        Err(error) => {
            eprintln!("{error:#}\n\nThe demo goes on with tract alone.\n");
            None
        }
    };
    println!("compiling (the first time takes a while)");
    execute(&mut workspace.cargo(["build", "--workspace", "--bins", "--locked"]))?;

    let sizes = if args.quick { QUICK_SIZES } else { SIZES };
    let mut demo = Demo::new(workspace, library, if args.quick { "demo-quick" } else { "demo" })?;
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
    /// ONNX Runtime, where it could be had.
    library: Option<PathBuf>,
    times: Vec<(&'static str, Duration)>,
}

impl<'a> Demo<'a> {
    /// Starts in an empty folder of the build folder: what an earlier demo left there goes.
    fn new(workspace: &'a Workspace, library: Option<PathBuf>, name: &str) -> Result<Self> {
        let folder = workspace.target.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { workspace, folder, library, times: Vec::new() })
    }

    fn step<T>(&mut self, name: &'static str, act: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        println!("\n== {name}");
        let begin = Instant::now();
        let result = act(self).with_context(|| format!("{name} failed"))?;
        self.times.push((name, begin.elapsed()));
        println!("== {name}: {}", time(begin.elapsed()));
        Ok(result)
    }

    /// `mbsd`, which hands over to its sisters, run in the workspace's folder.
    fn mbsd(&self, arguments: &[&str]) -> Command {
        let mut command = self.workspace.program("mbsd");
        command.args(arguments).current_dir(&self.workspace.root);
        if let Some(library) = &self.library
            && std::env::var_os("ORT_DYLIB_PATH").is_none()
        {
            command.env("ORT_DYLIB_PATH", library);
        }
        command
    }

    /// A file of the demo as a command run in the workspace's folder names it.
    fn file(&self, name: &str) -> String {
        self.workspace.shown(&self.folder.join(name)).to_string()
    }

    fn engines(&self) -> &'static [&'static str] {
        if self.library.is_some() { &["tract", "ort-cpu"] } else { &["tract"] }
    }
}

impl Demo<'_> {
    /// A model from nothing, by the run file that lies in this crate.
    fn train(&self, quick: bool) -> Result<()> {
        let mut command = self.mbsd(&["train", "finetune", "--config", "xtask/demo.toml"]);
        let catalogue = |name: &str| self.file(&format!("catalogue/{name}"));
        for setting in [
            format!("output={}", self.file("run")),
            format!("data.train={}", catalogue("train.jsonl")),
            format!("data.validation={}", catalogue("validation.jsonl")),
            format!("match.tags={}", catalogue("tags.txt")),
        ] {
            command.args(["--set", &setting]);
        }
        if quick {
            command.args(["--set", &format!("training.epochs={QUICK_EPOCHS}")]);
        }
        self.show_and_run(command)
    }

    fn export(&self) -> Result<()> {
        let (checkpoint, bundle) = (self.file("run/best"), self.file("bundle"));
        let variants = VARIANTS.join(",");
        self.show_and_run(self.mbsd(&[
            "export",
            "--checkpoint",
            &checkpoint,
            "--task",
            "match",
            "--variants",
            &variants,
            "--engines",
            &self.engines().join(","),
            "--out",
            &bundle,
        ]))
    }

    /// Tags the held-out products on every engine.
    fn tag(&self) -> Result<Vec<Throughput>> {
        self.engines()
            .iter()
            .map(|&engine| {
                let summary = self.json(self.mbsd(&[
                    "tag",
                    "--bundle",
                    &self.file("bundle"),
                    "--input",
                    &self.file("catalogue/held-out.jsonl"),
                    "--tags",
                    &self.file("catalogue/tags.txt"),
                    "--threshold",
                    "0",
                    "--output",
                    &self.tagged(engine),
                    "--engine",
                    engine,
                    "--json",
                ]))?;
                Ok(Throughput { engine, products_per_second: number(&summary, "products_per_second")? })
            })
            .collect()
    }

    fn tagged(&self, engine: &str) -> String {
        self.file(&format!("tagged-{engine}.jsonl"))
    }

    /// Every graph on every engine, over all questions and over those of each attribute.
    fn measure(&self) -> Result<Vec<Measurement>> {
        let mut measurements: Vec<Measurement> = Vec::new();
        for &engine in self.engines() {
            for variant in VARIANTS {
                let all = self.eval(engine, variant, None)?;
                // Engines agree within rounding, so one of them is asked about the attributes.
                let by_attribute = match measurements.iter().find(|m| m.variant == variant) {
                    Some(earlier) => earlier.by_attribute.clone(),
                    None => ATTRIBUTES
                        .into_iter()
                        .map(|attribute| Ok((attribute, number(&self.eval(engine, variant, Some(attribute))?, "roc_auc")?)))
                        .collect::<Result<_>>()?,
                };
                measurements.push(Measurement {
                    variant,
                    engine,
                    auc: number(&all, "roc_auc")?,
                    by_attribute,
                    rows_per_second: number(&all, "products_per_second")?,
                    parity: self.parity(engine, variant)?,
                });
            }
        }
        Ok(measurements)
    }

    fn eval(&self, engine: &str, variant: &str, attribute: Option<&Attribute>) -> Result<Json> {
        let questions = self.file(&format!("catalogue/{}", catalogue::questions_file(attribute)));
        let mut command = self.mbsd(&["eval", "--bundle", &self.file("bundle"), "--input", &questions]);
        command.args(["--variant", variant, "--engine", engine, "--json"]);
        if attribute.is_none() {
            self.json(command)
        } else {
            parse(&output(&mut command)?)
        }
    }
}
