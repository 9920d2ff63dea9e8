//! The stages of a job and the queues between them.

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use mbsd_data::{BadRow, Product};
use mbsd_spec::{BatchLimits, Variant};

use super::JobError;
use super::clock::{Clock, Stage, peak_memory};
use super::model::{Model, Sessions};
use super::prepare::{Preparation, Question, Row, prepare};
use super::score::{Scored, Scorer, Wanted};
use super::texts::Texts;
use crate::engine::{EngineKind, SessionOptions};

/// How rows are put together.
struct Sizes {
    /// Text rows a window should have, so that sorting by length pays.
    window_texts: usize,
    /// Products a window has at most; each holds its pixels, 0.6 MB at 224 x 224.
    window_products: usize,
    /// Products a window has at least, however many tags each is asked.
    least_products: usize,
    batch: BatchLimits,
}

/// On a CPU larger batches give nothing and pay for padding, and more products in a window would leave workers without one at the end
/// of short jobs.
const CPU: Sizes = Sizes {
    window_texts: 512,
    window_products: 64,
    least_products: 2,
    batch: BatchLimits { max_tokens: 1024, max_rows: 16 },
};

/// A GPU wants much work at once.
const GPU: Sizes = Sizes {
    window_texts: 2048,
    window_products: 256,
    least_products: 8,
    batch: BatchLimits { max_tokens: 32_768, max_rows: 256 },
};

/// ONNX Runtime sessions at most. Sessions of one thread each get more done than one with all threads, but each holds the weights of its own.
const ORT_SESSIONS: usize = 4;
/// Threads that are used on a machine with fewer cores, whatever is asked for.
const MOST_THREADS: usize = 64;

/// Called with the number of products done so far.
pub type Progress<'a> = &'a (dyn Fn(u64) + Sync);

/// How the cores are shared out. Has no influence on results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// Threads that decode and tokenize.
    pub prepare: usize,
    /// Sessions, each run by a thread of its own.
    pub sessions: usize,
    /// Threads inside one operation of a session.
    pub session_threads: usize,
}

impl Workers {
    /// For `threads` cores, all of the machine's where `None`.
    ///
    /// tract shares weights between sessions: a session a core. ONNX Runtime: a session a core too, but at most 4, which share
    /// the cores out among themselves; a GPU has one session.
    pub fn new(engine: EngineKind, threads: Option<NonZeroUsize>) -> Self {
        Self::with_sessions(engine, threads, None)
    }

    /// As [`Workers::new`], with so many sessions that share the threads out among themselves.
    pub fn with_sessions(engine: EngineKind, threads: Option<NonZeroUsize>, sessions: Option<NonZeroUsize>) -> Self {
        let cores = thread::available_parallelism().ok();
        let most = MOST_THREADS.max(cores.map_or(1, NonZeroUsize::get));
        let threads = threads.or(cores).map_or(1, NonZeroUsize::get).min(most);
        if let Some(sessions) = sessions.map(NonZeroUsize::get) {
            let session_threads = if engine == EngineKind::OrtCpu { (threads / sessions).max(1) } else { 1 };
            return Self { prepare: threads, sessions, session_threads };
        }
        match engine {
            EngineKind::Tract => Self { prepare: threads, sessions: threads, session_threads: 1 },
            EngineKind::OrtCpu => {
                let session_threads = threads.div_ceil(ORT_SESSIONS);
                Self { prepare: threads, sessions: threads / session_threads, session_threads }
            }
            EngineKind::OrtCuda | EngineKind::OrtTensorrt => Self { prepare: threads, sessions: 1, session_threads: 1 },
        }
    }
}

/// What a job does with every product, and how.
pub(super) struct Plan<'a> {
    pub(super) question: Question,
    pub(super) wanted: Wanted,
    pub(super) forced: Option<Variant>,
    pub(super) session: &'a SessionOptions,
    pub(super) workers: Workers,
    /// Where windows end, so that rows on both sides of it are never scored together.
    pub(super) cut: Option<Cut<'a>>,
}

impl<'a> Plan<'a> {
    /// Encodes every product for what is done with pairs of them.
    pub(super) fn vectors(session: &'a SessionOptions, workers: Workers, forced: Option<Variant>) -> Self {
        Self { question: Question::Product, wanted: Wanted::Pooled, forced, session, workers, cut: None }
    }
}

/// Rows that are finished together.
#[derive(Clone, Copy)]
pub(super) struct Cut<'a> {
    /// How many they are.
    pub(super) rows: NonZeroU64,
    /// Asked after each of them; true ends the input there.
    pub(super) stop: &'a AtomicBool,
    /// Set where that happened.
    pub(super) stopped: &'a AtomicBool,
}

impl Plan<'_> {
    /// Products of a window. Depends on the question and the engine alone.
    fn window(&self, sizes: &Sizes) -> usize {
        let texts = match &self.question {
            Question::Tags(tags) => tags.most().max(1),
            Question::TagColumn(_) | Question::Product => 1,
        };
        sizes.window_texts.div_ceil(texts).clamp(sizes.least_products, sizes.window_products)
    }
}

/// What a job took. Processor time is of all threads, loading of graphs left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// From the first row read to the last result, loading of graphs left out.
    pub(super) running: Duration,
    /// Loading of graphs.
    pub(super) loading: Duration,
    pub(super) processor: Duration,
    pub(super) read: Duration,
    pub(super) decode: Duration,
    pub(super) tokenize: Duration,
    pub(super) write: Duration,
    /// How often a text was tokenized.
    pub(super) tokenized: u64,
    /// Bytes, where the system tells.
    pub(super) peak_memory: Option<u64>,
}

struct Window<T> {
    index: u64,
    rows: Vec<T>,
}

/// Sends every row through the stages and hands the results to `sink` in the order of the input.
///
/// # Errors
/// The first error in the order of the input that concerns more than a row; the stages then stop.
pub(super) fn run(
    model: &Model,
    plan: &Plan<'_>,
    rows: impl Iterator<Item = Result<Product, BadRow>> + Send,
    mut sink: impl FnMut(Scored) -> Result<(), JobError>,
) -> Result<Timing, JobError> {
    let start = Instant::now();
    let clock = &Clock::start();
    let texts = &Texts::new(&model.tokenizer);
    let preparation = &Preparation { model, question: &plan.question, forced: plan.forced, texts, clock };
    let workers = plan.workers;
    let options = SessionOptions { threads: NonZeroUsize::new(workers.session_threads), ..plan.session.clone() };
    let sizes = match model.engine {
        EngineKind::Tract | EngineKind::OrtCpu => CPU,
        EngineKind::OrtCuda | EngineKind::OrtTensorrt => GPU,
    };
    let sessions = Sessions::new(model, options, workers.sessions, sizes.batch);
    // A window has a permit from before it is read until its results are written, so a slow one cannot make the
    // others pile up behind it.
    let in_flight = workers.prepare + workers.sessions + 2;
    let (give_back, permits) = bounded(in_flight);
    for _ in 0..in_flight {
        let _ = give_back.send(());
    }
    let (read_to, read) = bounded(workers.prepare);
    let (prepared_to, prepared) = bounded(workers.sessions);
    let (scored_to, scored) = bounded(workers.sessions);
    thread::scope(|scope| {
        let size = plan.window(&sizes);
        let cut = plan.cut;
        scope.spawn(move || read_windows(rows, size, cut, clock, &permits, &read_to));
        for _ in 0..workers.prepare {
            let (read, prepared_to) = (read.clone(), prepared_to.clone());
            scope.spawn(move || prepare_windows(preparation, &read, &prepared_to));
        }
        for _ in 0..workers.sessions {
            let (prepared, scored_to) = (prepared.clone(), scored_to.clone());
            let scorer = Scorer::new(model, &sessions, plan.wanted, sizes.batch, clock);
            scope.spawn(move || score_windows(scorer, &prepared, &scored_to));
        }
        // The ends held here would keep the queues open after the workers are done.
        drop((read, prepared_to, prepared, scored_to));
        // These end with this closure, also after an error, and with them the stages that send or wait.
        let (scored, give_back) = (scored, give_back);
        let mut waiting: BTreeMap<u64, Result<Vec<Scored>, JobError>> = BTreeMap::new();
        let mut next = 0;
        for (index, outcome) in &scored {
            waiting.insert(index, outcome);
            while let Some(outcome) = waiting.remove(&next) {
                for row in outcome? {
                    if let Err(bad) = &row.product
                        && bad.is_input_lost()
                    {
                        return Err(JobError::InputLost { row: bad.row, reason: bad.error.message.clone() });
                    }
                    clock.during(Stage::Write, || sink(row))?;
                }
                next += 1;
                let _ = give_back.try_send(());
            }
        }
        // After an error, windows before the failed one may never have been scored.
        waiting.into_values().try_for_each(|outcome| outcome.map(drop))
    })?;
    let loading = sessions.load_time();
    Ok(Timing {
        running: start.elapsed().saturating_sub(loading),
        loading,
        processor: clock.total(),
        read: clock.of(Stage::Read),
        decode: clock.of(Stage::Decode),
        tokenize: clock.of(Stage::Tokenize),
        write: clock.of(Stage::Write),
        tokenized: texts.tokenized(),
        peak_memory: peak_memory(),
    })
}

// A send fails when the stage after it has ended, after an error; then this stage ends too.

fn read_windows(
    mut rows: impl Iterator<Item = Result<Product, BadRow>>,
    size: usize,
    cut: Option<Cut<'_>>,
    clock: &Clock,
    permits: &Receiver<()>,
    to: &Sender<Window<Result<Product, BadRow>>>,
) {
    let mut taken: u64 = 0;
    for index in 0.. {
        if permits.recv().is_err() {
            return;
        }
        let mut most = size;
        if let Some(Cut { rows, stop, stopped }) = cut {
            let left = rows.get() - taken % rows.get();
            if left == rows.get() && stop.load(Ordering::Relaxed) {
                stopped.store(true, Ordering::Relaxed);
                return;
            }
            most = usize::try_from(left).map_or(size, |left| left.min(size));
        }
        let window: Vec<_> = clock.during(Stage::Read, || rows.by_ref().take(most).collect());
        taken += window.len() as u64;
        if window.is_empty() || to.send(Window { index, rows: window }).is_err() {
            return;
        }
    }
}

fn prepare_windows(
    preparation: &Preparation<'_>,
    from: &Receiver<Window<Result<Product, BadRow>>>,
    to: &Sender<Window<Row>>,
) {
    for Window { index, rows } in from {
        let rows = rows.into_iter().map(|row| prepare(preparation, row)).collect();
        if to.send(Window { index, rows }).is_err() {
            return;
        }
    }
}

type Outcome = (u64, Result<Vec<Scored>, JobError>);

fn score_windows(mut scorer: Scorer<'_>, from: &Receiver<Window<Row>>, to: &Sender<Outcome>) {
    for Window { index, rows } in from {
        let outcome = scorer.score(rows);
        let failed = outcome.is_err();
        if to.send((index, outcome)).is_err() || failed {
            return;
        }
    }
}
