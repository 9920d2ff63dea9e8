//! What the commands over products share: opening the bundle and the products, progress, the summary.

use std::io::{IsTerminal, Write, stderr};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mbsd_data::{DuplicateIds, Keep, ProductOptions, Products};
use mbsd_runtime::engine::{self, SessionOptions};
use mbsd_runtime::job::{Catalogue, JobError, Model, Summary, Workers};
use mbsd_spec::Bundle;

use crate::cli::{BundleArgs, EngineArgs, InputArgs, OutputArgs};

/// Time between two lines of progress, where the error stream is not a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Checks and opens the bundle, and makes the engine ready.
pub(super) fn open_model(bundle: &BundleArgs, args: &EngineArgs) -> anyhow::Result<Model> {
    let bundle = Bundle::open(&bundle.bundle)?;
    let engine = engine::open(args.engine, &args.engine_options())?;
    Ok(Model::open(&bundle, engine, args.precision)?)
}

/// How the cores are shared out.
pub(super) fn workers(args: &EngineArgs) -> Workers {
    Workers::new(args.engine, args.threads)
}

/// Opens the products.
pub(super) fn open_products(args: &InputArgs, keep: Keep, duplicate_ids: DuplicateIds) -> anyhow::Result<Products> {
    let options = ProductOptions {
        id_column: args.id_column.clone(),
        title_column: args.title_column.clone(),
        image_column: args.image_column.clone(),
        images: args.images.clone(),
        allow_outside: args.images_anywhere,
        keep,
        duplicate_ids,
        ..ProductOptions::default()
    };
    Ok(Products::open(&args.input, &options)?)
}

/// Runs a job that writes one row a product, and tells what it did.
pub(super) fn run(
    input: &InputArgs,
    output: &OutputArgs,
    engine: &EngineArgs,
    keep: Keep,
    job: impl FnOnce(Catalogue<'_>) -> Result<Summary, JobError>,
) -> anyhow::Result<()> {
    let products = open_products(input, keep, DuplicateIds::Refuse)?;
    let progress = Progress::new(products.row_count());
    let session: SessionOptions = engine.session_options();
    let summary = job(Catalogue {
        products,
        input: &input.input,
        output: &output.output,
        session: &session,
        workers: workers(engine),
        progress: &|done| progress.set(done),
    })?;
    progress.finish();
    tell(&summary, &output.output, output.json)
}

/// Prints the summary. Fails where there were rows and none has a result.
fn tell(summary: &Summary, output: &Path, json: bool) -> anyhow::Result<()> {
    // The error stream may be closed; the result is written all the same.
    let _ = writeln!(stderr(), "{}: {summary}", output.display());
    if json {
        print_json(summary)?;
    }
    fail_on_nothing(summary)
}

/// Prints a value as one line of JSON.
pub(super) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{}", serde_json::to_string(value)?).context("cannot write to the standard output")
}

/// An error where there were rows and none of them could be scored.
pub(super) fn fail_on_nothing(summary: &Summary) -> anyhow::Result<()> {
    if summary.nothing_scored() {
        let codes: Vec<String> = summary.errors.iter().map(|(code, count)| format!("{count} x {code}")).collect();
        bail!("none of the {} rows has a result: {}", summary.rows, codes.join(", "));
    }
    Ok(())
}

/// How far a job is: a bar on a terminal, a line now and then elsewhere.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total: Option<u64>,
    start: Instant,
    /// When the last line was written.
    last: Mutex<Instant>,
}

impl Progress {
    pub(super) fn new(total: Option<u64>) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            let template = match total {
                Some(_) => "{wide_bar} {pos}/{len} rows, {per_sec}, {eta} left",
                None => "{spinner} {pos} rows, {per_sec}",
            };
            bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, total, start: Instant::now(), last: Mutex::new(Instant::now()) }
    }

    pub(super) fn set(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let Ok(mut last) = self.last.lock() else { return };
        if last.elapsed() >= LINE_INTERVAL {
            *last = Instant::now();
            let of = self.total.map(|total| format!(" of {total}")).unwrap_or_default();
            let rate = done as f64 / self.start.elapsed().as_secs_f64();
            let _ = writeln!(stderr(), "{done}{of} rows, {rate:.1}/s");
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
