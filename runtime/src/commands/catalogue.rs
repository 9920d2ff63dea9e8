//! What the commands over products share: opening the bundle and the products, progress, the summary.

use std::io::{IsTerminal, Write, stderr};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mbsd_data::{DuplicateIds, Keep, Products, input_files};
use mbsd_runtime::engine::{self, Engine, EngineKind, SessionOptions};
use mbsd_runtime::job::{
    Catalogue, Destination, Done, Identity, JobError, Model, ShardFormat, ShardedOutput, Summary, Workers,
};
use mbsd_spec::Bundle;
use mbsd_spec::bundle::{names, sha256, sha256_file};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::cli::{BundleArgs, EngineArgs, InputArgs, OutputArgs, ShardedOutputArgs};

/// Time between two lines of progress, where the error stream is not a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Checks and opens the bundle, and makes the engine ready.
pub(super) fn open_model(bundle: &BundleArgs, args: &EngineArgs) -> anyhow::Result<Model> {
    let bundle = Bundle::open(&bundle.bundle)?;
    Ok(Model::open(&bundle, open_engine(args)?, args.precision)?)
}

/// Makes the engine ready.
pub(super) fn open_engine(args: &EngineArgs) -> anyhow::Result<Arc<dyn Engine>> {
    if args.calibration_tables.is_some() && args.engine != EngineKind::OrtTensorrt {
        bail!("--calibration-tables is for --engine ort-tensorrt; {} does not read them", args.engine);
    }
    Ok(engine::open(args.engine, &args.engine_options())?)
}

/// How the cores are shared out.
pub(super) fn workers(args: &EngineArgs) -> Workers {
    Workers::with_sessions(args.engine, args.threads, args.sessions)
}

/// Opens the products.
pub(super) fn open_products(args: &InputArgs, keep: Keep, duplicate_ids: DuplicateIds) -> anyhow::Result<Products> {
    let products = Products::open(&args.input, &args.products.options(keep, duplicate_ids))?;
    for (has, what, column) in [
        (products.has_titles(), "titles", &args.products.title_column),
        (products.has_images(), "images", &args.products.image_column),
    ] {
        if !has {
            eprintln!("note: the input has no column `{column}`: its products are taken without {what}");
        }
    }
    Ok(products)
}

/// What a command over products was given.
pub(super) struct Arguments<'a> {
    pub(super) bundle: &'a BundleArgs,
    pub(super) input: &'a InputArgs,
    pub(super) engine: &'a EngineArgs,
}

/// Runs a job that writes one row a product, and tells what it did. `options` are the command's own, which its results depend
/// on.
pub(super) fn run_sharded(
    arguments: &Arguments<'_>,
    output: &ShardedOutputArgs,
    options: Value,
    job: impl FnOnce(Catalogue<'_>) -> Result<Summary, JobError>,
) -> anyhow::Result<()> {
    if output.output.extension().is_some() {
        if output.shards.resume {
            bail!("--resume goes on with a folder of shards; {} would be one file", output.output.display());
        }
        let destination = Destination::File(&output.output);
        return run_to(
            arguments,
            destination,
            output.shards.max_errors,
            Keep::All,
            &output.output,
            output.shards.json,
            job,
        );
    }
    let sharded = ShardedOutput {
        folder: output.output.clone(),
        format: output.shards.shard_format.into(),
        rows: output.shards.shard_rows,
        resume: output.shards.resume,
        identity: identity(arguments, output, options)?,
        stop: stop_on_signals()?,
    };
    let destination = Destination::Folder(&sharded);
    run_to(arguments, destination, output.shards.max_errors, Keep::All, &output.output, output.shards.json, job)
}

/// Runs a job that writes one file, and tells what it did.
pub(super) fn run(
    arguments: &Arguments<'_>,
    output: &OutputArgs,
    keep: Keep,
    job: impl FnOnce(Catalogue<'_>) -> Result<Summary, JobError>,
) -> anyhow::Result<()> {
    run_to(arguments, Destination::File(&output.output), None, keep, &output.output, output.json, job)
}

fn run_to(
    arguments: &Arguments<'_>,
    destination: Destination<'_>,
    max_errors: Option<u64>,
    keep: Keep,
    output: &Path,
    json: bool,
    job: impl FnOnce(Catalogue<'_>) -> Result<Summary, JobError>,
) -> anyhow::Result<()> {
    let Arguments { input, engine, .. } = arguments;
    let products = open_products(input, keep, DuplicateIds::Refuse)?;
    let progress = Progress::new(products.row_count());
    let session: SessionOptions = engine.session_options();
    let outcome = job(Catalogue {
        products,
        input: &input.input,
        output: destination,
        max_errors,
        session: &session,
        workers: workers(engine),
        progress: &|done| progress.set(done),
    });
    progress.finish();
    tell(&outcome?, output, json)
}

/// What the results of a job in shards depend on.
fn identity(arguments: &Arguments<'_>, output: &ShardedOutputArgs, options: Value) -> anyhow::Result<Identity> {
    let Arguments { bundle, input, engine } = arguments;
    let digest = |path: &Path| sha256_file(path).with_context(|| format!("cannot read {}", path.display()));
    let version = open_engine(engine)?.version();
    let settings = [
        ("options", options),
        ("engine", json!(format!("{} {version}", engine.engine))),
        ("precision", json!(engine.precision.name())),
        ("calibration_tables", json!(engine.calibration_tables)),
        ("images", json!(input.products.images)),
        ("images_anywhere", json!(input.products.images_anywhere)),
        ("id_column", json!(input.products.id_column)),
        ("title_column", json!(input.products.title_column)),
        ("image_column", json!(input.products.image_column)),
        ("shard_rows", json!(output.shards.shard_rows)),
        ("shard_format", json!(ShardFormat::from(output.shards.shard_format).extension())),
    ];
    Ok(Identity {
        input: input_digest(&input.input, digest)?,
        bundle: digest(&bundle.bundle.join(names::MANIFEST))?,
        settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
    })
}

/// The digest of a file; of several, that of their names and digests.
fn input_digest(input: &Path, digest: impl Fn(&Path) -> anyhow::Result<String>) -> anyhow::Result<String> {
    let files = input_files(input)?;
    if let [file] = files.as_slice() {
        return digest(file);
    }
    let mut lines = String::new();
    for file in &files {
        lines.push_str(&format!("{} {}\n", digest(file)?, file.strip_prefix(input).unwrap_or(file).display()));
    }
    Ok(sha256(lines.as_bytes()))
}

/// A flag that the first interruption sets; the second one ends the process.
fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 1, stop.clone())
            .and_then(|_| flag::register(signal, stop.clone()))
            .context("cannot watch for interruptions")?;
    }
    Ok(stop)
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
    /// Rows that were done at the start, known at the first call.
    before: OnceLock<Done>,
    /// When the last line was written.
    last: Mutex<Instant>,
}

impl Progress {
    pub(super) fn new(total: Option<u64>) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            let template = match total {
                Some(_) => "{wide_bar} {pos}/{len} rows, {per_sec}, {msg}{eta} left",
                None => "{spinner} {pos} rows, {per_sec}, {msg}",
            };
            bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, total, start: Instant::now(), before: OnceLock::new(), last: Mutex::new(Instant::now()) }
    }

    pub(super) fn set(&self, done: Done) {
        let Done { rows, questions, errors } = done;
        let before = *self.before.get_or_init(|| Done { rows: rows.saturating_sub(1), ..done });
        let seconds = self.start.elapsed().as_secs_f64();
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let answers = rate(questions, before.questions);
        if let Some(bar) = &self.bar {
            if bar.position() == 0 {
                bar.set_position(before.rows);
                bar.reset_eta();
            }
            bar.set_position(rows);
            bar.set_message(format!("{answers:.0} answers/s, {errors} errors, "));
            return;
        }
        let Ok(mut last) = self.last.lock() else { return };
        if last.elapsed() >= LINE_INTERVAL {
            *last = Instant::now();
            let of = self.total.map(|total| format!(" of {total}")).unwrap_or_default();
            let products = rate(rows, before.rows);
            let left =
                self.total.filter(|_| products > 0.0).map(|total| (total.saturating_sub(rows)) as f64 / products);
            let left = left.map(|seconds| format!(", {seconds:.0} s left")).unwrap_or_default();
            let _ = writeln!(
                stderr(),
                "{rows}{of} rows, {products:.1} products/s, {answers:.1} answers/s, {errors} errors{left}"
            );
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
