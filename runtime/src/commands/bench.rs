//! `mbsd bench`: how fast a bundle's graphs run here, and what changed since; and the worker behind it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use mbsd_data::staged::stage;
use mbsd_runtime::bench::compare::compare;
use mbsd_runtime::bench::{self, Contender, Effort, Launch, Load, PlanOptions, Report, Subject, most_text};
use mbsd_runtime::engine::EngineOptions;
use mbsd_spec::{Bundle, Variant};

use crate::cli::{BenchArgs, BenchWhat};

/// The hidden command that measures one cell.
pub(crate) const WORKER: &str = "bench-worker";

/// Text tokens of a row where nobody says.
const USUAL_TEXT: usize = 32;

/// Requests that are measured at least, in a round of a cell.
const LEAST_REQUESTS: usize = 3;

/// After which a quick measurement begins no further round.
const QUICK: Duration = Duration::from_secs(20);

pub(crate) fn run(args: BenchArgs) -> Result<ExitCode> {
    if let [old, new] = args.compare.as_slice() {
        return report_changes(old, new, args.threshold);
    }
    if args.what.bundles.is_empty() && args.graphs.is_empty() {
        bail!("there is nothing to measure: give --bundle DIR, --graph NAME=FILE, or --compare OLD.json NEW.json");
    }
    let effort = effort(args.quick, args.rounds, args.seconds);
    let mut options = options(&args.what, args.quick, args.loads.clone())?;
    options.contenders.extend(args.peers.iter().cloned().map(Contender::Peer));
    options.pipeline = args.with_pipeline;
    let mut subjects = bundles(&args.what, &mut options)?;
    for (name, path) in &args.graphs {
        subjects.push(Subject::graph(name, path)?);
    }
    refuse_equal_names(&args)?;
    for path in [&args.json, &args.html, &args.markdown].into_iter().flatten() {
        can_write(path)?;
    }
    let report = bench::run(&subjects, &options, &effort, progress())?;
    for (path, text) in [(&args.json, Report::to_json as fn(&Report) -> String), (&args.html, Report::html)] {
        if let Some(path) = path {
            fs::write(path, text(&report)).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    match &args.markdown {
        Some(path) => {
            fs::write(path, report.markdown()).with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => io::stdout().lock().write_all(report.markdown().as_bytes())?,
    }
    if report.measured().next().is_none() {
        bail!("no cell could be measured; the report says why of each");
    }
    Ok(ExitCode::SUCCESS)
}

/// That a report can be written, before anything is measured for it.
fn can_write(path: &Path) -> Result<()> {
    stage(path).map(drop).with_context(|| format!("cannot write {}", path.display()))
}

/// Measures quickly, for `mbsd choose`.
pub(super) fn quick(what: &BenchWhat) -> Result<Report> {
    let mut options = options(what, true, vec![Load::Closed])?;
    let subjects = bundles(what, &mut options)?;
    Ok(bench::run(&subjects, &options, &effort(true, None, None), progress())?)
}

/// Reads a report.
pub(super) fn read_report(path: &Path) -> Result<Report> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the report {}", path.display()))?;
    Report::from_json(&text).map_err(|reason| anyhow!("{}: {reason}", path.display()))
}

pub(crate) fn worker() -> Result<()> {
    Ok(bench::serve(io::stdin().lock(), io::stdout().lock())?)
}

fn effort(quick: bool, rounds: Option<NonZeroUsize>, seconds: Option<f64>) -> Effort {
    let seconds = seconds.unwrap_or(if quick { 0.2 } else { 1.0 });
    Effort {
        rounds: rounds.map_or(if quick { 3 } else { 5 }, NonZeroUsize::get),
        seconds,
        requests: LEAST_REQUESTS,
        warm_up_seconds: 3.0 * seconds,
        budget: quick.then_some(QUICK),
    }
}

fn options(what: &BenchWhat, quick: bool, loads: Vec<Load>) -> Result<PlanOptions> {
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut options = PlanOptions {
        contenders: what.engines.iter().copied().map(Contender::Engine).collect(),
        variants: what.variants.clone(),
        precisions: what.precisions.clone(),
        batches: what.batch.clone(),
        texts: what.text.clone(),
        threads: if what.threads.is_empty() { vec![cores] } else { what.threads.clone() },
        loads,
        pipeline: false,
        cpu_nodes: what.cpu_nodes,
        engine: EngineOptions { onnxruntime: what.onnxruntime.clone() },
        worker: Launch {
            program: std::env::current_exe().context("this program does not know where it lies")?,
            arguments: vec![WORKER.to_owned()],
        },
    };
    if quick && options.variants.is_empty() {
        options.variants = Variant::ENCODERS.to_vec();
        options.variants.truncate(1);
    }
    Ok(options)
}

/// Opens the bundles; fills in what depends on them where nobody said it.
fn bundles(what: &BenchWhat, options: &mut PlanOptions) -> Result<Vec<Subject>> {
    let opened = what.bundles.iter().map(|(name, path)| Ok((name, Bundle::open(path)?)));
    let opened: Vec<(&String, Bundle)> = opened.collect::<Result<_>>()?;
    if options.texts.is_empty() {
        let most = opened.iter().map(|(_, bundle)| most_text(bundle)).min();
        options.texts =
            vec![NonZeroUsize::new(USUAL_TEXT.min(most.unwrap_or(USUAL_TEXT))).unwrap_or(NonZeroUsize::MIN)];
    }
    // A bundle may have no graph over both modalities.
    if options.variants == [Variant::Full] && what.variants.is_empty() {
        let has = |variant: Variant| {
            opened
                .iter()
                .all(|(_, bundle)| bundle.manifest().artifacts.iter().any(|artifact| artifact.variant == variant))
        };
        options.variants = Variant::ENCODERS.into_iter().find(|variant| has(*variant)).into_iter().collect();
    }
    opened.iter().map(|(name, bundle)| Ok(Subject::bundle(name, bundle)?)).collect()
}

fn refuse_equal_names(args: &BenchArgs) -> Result<()> {
    let mut names = BTreeSet::new();
    let all = args.what.bundles.iter().chain(&args.graphs).map(|(name, _)| name.as_str());
    for name in all.chain(args.peers.iter().map(|peer| peer.name.as_str())) {
        if !names.insert(name) {
            bail!("two things to measure are named `{name}`; name them apart, as in --bundle first=DIR");
        }
    }
    Ok(())
}

/// One line that is overwritten on a terminal; elsewhere a line now and then.
fn progress() -> impl FnMut(&str) {
    const INTERVAL: Duration = Duration::from_secs(10);
    let terminal = io::stderr().is_terminal();
    let mut last: Option<Instant> = None;
    move |text| {
        let mut out = io::stderr().lock();
        // What cannot be told is not worth an error.
        if terminal {
            let _ = write!(out, "\r\x1b[2K{text}");
            let _ = out.flush();
        } else if last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            let _ = writeln!(out, "{text}");
            last = Some(Instant::now());
        }
    }
}

fn report_changes(old: &Path, new: &Path, threshold: f64) -> Result<ExitCode> {
    let comparison = compare(&read_report(old)?, &read_report(new)?, threshold).map_err(|reason| anyhow!(reason))?;
    io::stdout().lock().write_all(comparison.markdown().as_bytes())?;
    Ok(if comparison.regressed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
