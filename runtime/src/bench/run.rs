//! The rounds: every cell once a round, each in a process of its own.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mbsd_spec::BundleError;

use super::load::Load;
use super::machine;
use super::noise::Watch;
use super::plan::{Launch, PlanOptions, Planned, Subject, Work, plan};
use super::report::{Cell, Outcome, Report, SCHEMA_VERSION};
use super::summary::{Basis, summarize};
use super::worker::{Answer, Job, Round};

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Rounds.
    pub rounds: usize,
    /// Seconds a cell is measured for in each round.
    pub seconds: f64,
    /// Requests it is measured for at least.
    pub requests: usize,
    /// Seconds after which warm-up ends, whether latency has settled or not.
    pub warm_up_seconds: f64,
    /// No round is begun that would not end within this.
    pub budget: Option<Duration>,
}

/// A comparison that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The selection leaves no cell.
    #[error("there is nothing to measure: {0}")]
    Nothing(String),
}

/// Measures every cell of the plan. `progress` is told what is being done.
///
/// # Errors
/// [`BenchError::Nothing`] for a plan without cells. A cell that cannot be measured is no error: its reason is in the report.
pub fn run(
    subjects: &[Subject],
    options: &PlanOptions,
    effort: &Effort,
    mut progress: impl FnMut(&str),
) -> Result<Report, BenchError> {
    let engines: Vec<_> = options.contenders.iter().map(|contender| contender.info(&options.engine)).collect();
    let planned = plan(subjects, options, effort, &engines);
    if planned.is_empty() {
        return Err(BenchError::Nothing("no graph of that variant and precision is there".to_owned()));
    }
    let mut threads: Vec<usize> = options.threads.iter().map(|threads| threads.get()).collect();
    threads.sort_unstable();
    threads.dedup();
    let mut machine = machine::describe(&threads);
    let cores = machine.cores;
    let start = Instant::now();
    let mut watch = Watch::start(cores);
    let mut cells: Vec<Measured> = planned.into_iter().map(Measured::new).collect();
    let mut longest = Duration::ZERO;
    let mut rounds = 0;
    for round in 0..effort.rounds {
        if round > 0 && effort.budget.is_some_and(|budget| start.elapsed() + longest > budget) {
            progress(&format!("the time is up after {rounds} of {} rounds", effort.rounds));
            break;
        }
        let begun = Instant::now();
        let count = cells.len();
        for step in 0..count {
            // Forth and back, so that no cell always follows the same one.
            let index = if round % 2 == 0 { step } else { count - 1 - step };
            watch.probe();
            if cells[index].failure.is_none() {
                let at = format!("round {} of {}, cell {} of {count}", round + 1, effort.rounds, step + 1);
                progress(&format!("{at}: {}", cells[index].planned.key.describe()));
            }
            cells[index].measure(round);
        }
        longest = longest.max(begun.elapsed());
        rounds += 1;
    }
    // Once more: whatever disturbed the first measurement may be over.
    for (&threads, peak) in &mut machine.peak_gflops {
        *peak = peak.max(machine::peak(threads));
    }
    let mut report = Report {
        schema_version: SCHEMA_VERSION,
        producer: format!("mbsd {}", env!("CARGO_PKG_VERSION")),
        git_revision: machine::git_revision(),
        unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        engines,
        subjects: subjects.iter().map(|subject| subject.info.clone()).collect(),
        rounds,
        seconds: effort.seconds,
        noise: watch.verdict(),
        cells: Vec::new(),
        machine,
    };
    for cell in cells {
        let version = cell.rounds.first().map(|round| round.engine_version.clone()).filter(|v| !v.is_empty());
        if let Some(info) = report.engines.iter_mut().find(|info| info.engine == cell.planned.key.engine) {
            info.version = info.version.take().or(version);
        }
        let peak = report.machine.peak_gflops.get(&cell.planned.key.threads).copied();
        report.cells.push(cell.finish(peak));
    }
    Ok(report)
}

/// A cell with the rounds that were measured of it so far.
struct Measured {
    planned: Planned,
    rounds: Vec<Round>,
    failure: Option<String>,
}

impl Measured {
    fn new(planned: Planned) -> Self {
        let failure = planned.work.as_ref().err().cloned();
        Self { planned, rounds: Vec::new(), failure }
    }

    /// Measures another round, unless one has failed.
    fn measure(&mut self, round: usize) {
        let (Ok(Work { job, launch, .. }), None) = (&self.planned.work, &self.failure) else { return };
        let job = Job { seed: round as u64 + 1, ..job.clone() };
        match ask(launch, &job) {
            Ok(Answer::Measured(round)) => self.rounds.push(round),
            Ok(Answer::Failed { reason }) | Err(reason) => self.failure = Some(reason),
        }
    }

    fn finish(self, peak: Option<f64>) -> Cell {
        let flops = self.planned.work.as_ref().ok().and_then(|work| work.flops);
        let key = self.planned.key;
        let basis = Basis { batch: key.batch, flops, peak };
        let outcome = match (self.failure, summarize(&self.rounds, basis)) {
            (Some(reason), _) => Outcome::NotMeasured { reason },
            (None, Some(measurement)) => Outcome::Measured(Box::new(measurement)),
            (None, None) => {
                let reason = match key.load {
                    Load::Open { .. } => "no request was served in time",
                    Load::Closed | Load::Saturated => "no request was measured",
                };
                Outcome::NotMeasured { reason: reason.to_owned() }
            }
        };
        Cell { key, outcome }
    }
}

/// Starts a worker, hands it the job and reads its answer.
fn ask(launch: &Launch, job: &Job) -> Result<Answer, String> {
    let named = launch.program.display();
    let mut child = Command::new(&launch.program)
        .args(&launch.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {named}: {error}"))?;
    let job = serde_json::to_vec(job).map_err(|error| error.to_string())?;
    // A worker that ends before it has read its job says why below.
    let _ = child.stdin.take().map(|mut input| input.write_all(&job));
    let out = child.wait_with_output().map_err(|error| format!("{named}: {error}"))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let answer = text.lines().rev().find_map(|line| serde_json::from_str::<Answer>(line).ok());
    answer.ok_or_else(|| {
        let said = String::from_utf8_lossy(&out.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        format!("the process that measures ended without an answer ({}): {}", out.status, last.trim())
    })
}
