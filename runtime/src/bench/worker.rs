//! The process that measures one cell for one round. It reads a [`Job`] as JSON from its standard input, and writes one line of
//! JSON, an [`Answer`], to its standard output. Peers in other languages speak the same protocol: `benches/peers/README.md`.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mbsd_spec::{NamedTensors, Precision};
use serde::{Deserialize, Serialize};

use super::inputs;
use super::load::{self, Clock, Extent, Load, Wall};
use super::pipeline::{Pipeline, PipelineFiles};
use super::report::Stages;
use super::steady;
use super::usage;
use crate::engine::{
    self, CpuNodes, EngineKind, EngineOptions, Session, SessionOptions, Source, TensorrtOptions, causes,
};

/// What to measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Job {
    /// The graph file.
    pub(super) graph: PathBuf,
    /// Name of the engine.
    pub(super) engine: String,
    /// Arithmetic of the graph, where it is known.
    pub(super) precision: Option<Precision>,
    /// Threads.
    pub(super) threads: NonZeroUsize,
    /// Rows of each run of the graph that a request is made of.
    pub(super) runs: Vec<usize>,
    /// Text tokens of a row.
    pub(super) text: Option<usize>,
    /// Token ids are below this.
    pub(super) vocabulary: usize,
    /// How requests come.
    #[serde(flatten)]
    pub(super) load: Load,
    /// Seconds to measure.
    pub(super) seconds: f64,
    /// Requests to measure at least.
    pub(super) requests: usize,
    /// Seconds after which warm-up ends, whether latency has settled or not.
    pub(super) warm_up_seconds: f64,
    /// Decides when requests of an open loop are due.
    pub(super) seed: u64,
    /// The ONNX Runtime library.
    pub(super) onnxruntime: Option<PathBuf>,
    /// Whether a GPU engine may leave operations to the CPU.
    pub(super) cpu_nodes: bool,
    /// Start from titles and encoded images, with these.
    pub(super) pipeline: Option<PipelineFiles>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum Answer {
    /// It was measured.
    Measured(Round),
    /// It was not.
    Failed {
        /// Why.
        reason: String,
    },
}

/// A round of a cell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Round {
    /// The version of the library that computed.
    pub(super) engine_version: String,
    /// From nothing to a session that can run.
    pub(super) load_ms: f64,
    /// The first request.
    pub(super) first_ms: f64,
    /// Of each request measured.
    pub(super) latencies_ms: Vec<f64>,
    /// From the first request measured to the last answer.
    pub(super) elapsed_seconds: f64,
    /// Processor seconds meanwhile.
    pub(super) cpu_seconds: Option<f64>,
    /// Most memory the process has had.
    pub(super) peak_memory_bytes: Option<u64>,
    /// Whether latency had settled before.
    pub(super) steady: bool,
    /// Requests of an open loop that were given up.
    #[serde(default)]
    pub(super) unserved: usize,
    /// Nodes of the loaded graph by where they run.
    #[serde(default)]
    pub(super) nodes: BTreeMap<String, usize>,
    /// Milliseconds by stage over all requests measured.
    #[serde(default)]
    pub(super) stage_totals: Option<Stages>,
}

/// Serves one job: what `mbsd bench` starts in a new process for each cell and round.
///
/// # Errors
/// If standard input or output fail. A job that fails is answered so, and no error.
pub fn serve(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut text = String::new();
    input.read_to_string(&mut text)?;
    let answer = match serde_json::from_str::<Job>(&text) {
        Ok(job) => match measure(&job) {
            Ok(round) => Answer::Measured(round),
            Err(error) => Answer::Failed { reason: causes(error.as_ref()) },
        },
        Err(error) => Answer::Failed { reason: format!("not a job: {error}") },
    };
    serde_json::to_writer(&mut output, &answer)?;
    output.write_all(b"\n")?;
    output.flush()
}

fn measure(job: &Job) -> Result<Round, Source> {
    let start = Instant::now();
    let kind: EngineKind = job.engine.parse()?;
    let engine = engine::open(kind, &EngineOptions { onnxruntime: job.onnxruntime.clone() })?;
    let session = engine.load(&job.graph, &session_options(job))?;
    let load_ms = start.elapsed().as_secs_f64() * 1e3;
    let nodes = session.placement();

    let work = Work::new(job, session.as_ref())?;
    let clients = if job.load == Load::Saturated { job.threads.get() } else { 1 };
    let mut sessions = vec![session];
    for _ in 1..clients {
        sessions.push(sessions[0].fork()?);
    }
    let mut clients: Vec<Client<'_>> =
        sessions.into_iter().map(|session| Client { session, work: &work, stages: Stages::default() }).collect();

    let clock = Wall::start();
    let before = clock.now();
    clients[0].request()?;
    let first_ms = (clock.now() - before).as_secs_f64() * 1e3;
    let mut steady = true;
    for client in &mut clients {
        steady &= steady::warm_up(&clock, Duration::from_secs_f64(job.warm_up_seconds), || client.request())?;
        client.stages = Stages::default();
    }

    let extent = Extent { time: Duration::from_secs_f64(job.seconds), requests: job.requests };
    // Clients of a saturated machine are threads that end, and the time of ended threads is known less finely.
    let cpu = if job.load == Load::Saturated { usage::process_cpu_seconds } else { usage::cpu_seconds };
    let cpu_before = cpu();
    let measured = match job.load {
        Load::Closed => load::closed(&clock, extent, || clients[0].request())?,
        Load::Saturated => {
            let requests = clients.iter_mut().map(|client| || client.request()).collect();
            load::saturated(&clock, extent, requests)?
        }
        Load::Open { rate } => {
            let arrivals = load::arrivals(rate, extent, job.seed);
            load::open(&clock, &arrivals, || clients[0].request())?
        }
    };
    let cpu_seconds = cpu().zip(cpu_before).map(|(after, before)| after - before);
    Ok(Round {
        engine_version: engine.version(),
        load_ms,
        first_ms,
        latencies_ms: measured.latencies.iter().map(|latency| latency.as_secs_f64() * 1e3).collect(),
        elapsed_seconds: measured.elapsed.as_secs_f64(),
        cpu_seconds,
        peak_memory_bytes: usage::peak_memory(),
        steady,
        unserved: measured.unserved,
        nodes,
        stage_totals: job
            .pipeline
            .is_some()
            .then(|| clients.iter().map(|client| client.stages).fold(Stages::default(), plus)),
    })
}

fn session_options(job: &Job) -> SessionOptions {
    // A saturated machine has a session a thread.
    let threads = if job.load == Load::Saturated { NonZeroUsize::MIN } else { job.threads };
    SessionOptions {
        threads: Some(threads),
        cpu_nodes: if job.cpu_nodes { CpuNodes::Allowed } else { CpuNodes::Refused },
        record_placement: true,
        tensorrt: TensorrtOptions {
            fp16: job.precision == Some(Precision::F16),
            int8: job.precision == Some(Precision::Qdq),
            ..TensorrtOptions::default()
        },
        ..SessionOptions::default()
    }
}

/// What a request is made of.
enum Work {
    Tensors(Vec<NamedTensors>),
    Pipeline(Box<Pipeline>),
}

impl Work {
    fn new(job: &Job, session: &dyn Session) -> Result<Self, Source> {
        if let Some(files) = &job.pipeline {
            let rows = job.runs.iter().sum();
            return Ok(Self::Pipeline(Box::new(Pipeline::new(files, session.inputs(), rows, job.text)?)));
        }
        let one = |&rows: &usize| inputs::made_up(session.inputs(), rows, job.text, job.vocabulary);
        Ok(Self::Tensors(job.runs.iter().map(one).collect::<Result<_, _>>()?))
    }
}

/// Who sends requests to a session of its own.
struct Client<'a> {
    session: Box<dyn Session>,
    work: &'a Work,
    stages: Stages,
}

impl Client<'_> {
    fn request(&mut self) -> Result<(), Source> {
        match self.work {
            Work::Tensors(runs) => {
                for inputs in runs {
                    self.session.run(inputs)?;
                }
            }
            Work::Pipeline(pipeline) => {
                let stages = pipeline.request(self.session.as_mut())?;
                self.stages = plus(self.stages, stages);
            }
        }
        Ok(())
    }
}

fn plus(a: Stages, b: Stages) -> Stages {
    Stages {
        tokenize_ms: a.tokenize_ms + b.tokenize_ms,
        decode_ms: a.decode_ms + b.decode_ms,
        preprocess_ms: a.preprocess_ms + b.preprocess_ms,
        collate_ms: a.collate_ms + b.collate_ms,
        infer_ms: a.infer_ms + b.infer_ms,
    }
}
