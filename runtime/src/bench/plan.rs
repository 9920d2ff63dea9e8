//! Which cells there are: everything that was asked for, with the reason where it cannot be.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use mbsd_spec::bundle::{names, sha256_file};
use mbsd_spec::{Bundle, Precision, Variant};

use super::inputs::{reads_tags, reads_text, unknown_symbols};
use super::load::Load;
use super::pipeline::PipelineFiles;
use super::report::{EngineInfo, Key, SubjectInfo};
use super::run::{BenchError, Effort};
use super::worker::Job;
use super::{accuracy, inputs};
use crate::engine::{self, EngineError, EngineKind, EngineOptions, causes};
use crate::onnx::{Graph, Polynomial};

/// Token ids for graphs of which nobody says how many words they know.
const SMALL_VOCABULARY: usize = 100;

/// What computes: an engine of this program, or another program that speaks the worker's protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contender {
    /// One of ours.
    Engine(EngineKind),
    /// Another.
    Peer(Peer),
}

/// Another program that is measured beside the engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name in the report; it is told it as the job's engine.
    pub name: String,
    /// How it is started.
    pub launch: Launch,
}

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Contender {
    /// The name in the report.
    pub fn name(&self) -> &str {
        match self {
            Self::Engine(kind) => kind.name(),
            Self::Peer(peer) => &peer.name,
        }
    }

    /// Whether it is there, and its version.
    pub(super) fn info(&self, options: &EngineOptions) -> EngineInfo {
        let mut info = EngineInfo { engine: self.name().to_owned(), version: None, library: None, reason: None };
        if let Self::Engine(kind) = self {
            match engine::open(*kind, options) {
                Ok(engine) => {
                    info.version = Some(engine.version());
                    info.library = engine.library().map(|library| library.path.display().to_string());
                }
                Err(EngineError::Unavailable { source, .. }) => info.reason = Some(causes(source.as_ref())),
                Err(error) => info.reason = Some(causes(&error)),
            }
        }
        info
    }
}

/// Which cells to measure: each of these with each other.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// What computes.
    pub contenders: Vec<Contender>,
    /// Graphs of bundles; empty for all encoders that a bundle has.
    pub variants: Vec<Variant>,
    /// Their arithmetic; empty for all that a bundle has.
    pub precisions: Vec<Precision>,
    /// Rows of a request.
    pub batches: Vec<NonZeroUsize>,
    /// Text tokens of a row.
    pub texts: Vec<NonZeroUsize>,
    /// Threads.
    pub threads: Vec<NonZeroUsize>,
    /// How requests come.
    pub loads: Vec<Load>,
    /// Start from titles and encoded images.
    pub pipeline: bool,
    /// Whether a GPU engine may leave operations to the CPU.
    pub cpu_nodes: bool,
    /// How engines are found.
    pub engine: EngineOptions,
    /// The program that serves jobs for the engines: `mbsd` with its hidden command.
    pub worker: Launch,
}

/// A bundle or a graph file to run.
#[derive(Debug, Clone)]
pub struct Subject {
    pub(super) info: SubjectInfo,
    graphs: Vec<SubjectGraph>,
    /// What a bundle's graphs have in common; `None` for a graph file.
    bundle: Option<Common>,
}

#[derive(Debug, Clone)]
struct Common {
    vocabulary: usize,
    /// Tokens of a row, or where tags are apart of a title.
    most_text: usize,
    pipeline: Result<PipelineFiles, String>,
}

#[derive(Debug, Clone)]
struct SubjectGraph {
    variant: Option<Variant>,
    precision: Option<Precision>,
    path: PathBuf,
    /// Rows of the graph for a row of a request, and how many of them are run at once at most.
    rows: (usize, usize),
}

impl Subject {
    /// A bundle.
    ///
    /// # Errors
    /// If a file of it cannot be read.
    pub fn bundle(name: &str, bundle: &Bundle) -> Result<Self, BenchError> {
        let manifest = bundle.manifest();
        let graphs = manifest.artifacts.iter().map(|artifact| {
            let (_, path) = bundle.artifact(artifact.variant, artifact.precision)?;
            Ok(SubjectGraph {
                variant: Some(artifact.variant),
                precision: Some(artifact.precision),
                path,
                rows: (1, usize::MAX),
            })
        });
        let files = bundle.file(names::TOKENIZER)?.zip(bundle.file(names::PREPROCESSOR)?);
        let pipeline = match files {
            Some((tokenizer, preprocessor)) => Ok(PipelineFiles { tokenizer, preprocessor }),
            None => Err("the bundle was exported without a tokenizer".to_owned()),
        };
        Ok(Self {
            info: SubjectInfo {
                name: name.to_owned(),
                path: bundle.root().display().to_string(),
                sha256: digest(&bundle.root().join(names::MANIFEST))?,
                accuracy: accuracy::of(manifest),
            },
            graphs: graphs.collect::<Result<_, BenchError>>()?,
            bundle: Some(Common { vocabulary: bundle.config().vocab_size, most_text: most_text(bundle), pipeline }),
        })
    }

    /// A graph file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn graph(name: &str, path: &Path) -> Result<Self, BenchError> {
        let info = SubjectInfo {
            name: name.to_owned(),
            path: path.display().to_string(),
            sha256: digest(path)?,
            accuracy: Vec::new(),
        };
        let graph = SubjectGraph { variant: None, precision: None, path: path.to_owned(), rows: (1, usize::MAX) };
        Ok(Self { info, graphs: vec![graph], bundle: None })
    }

    /// Each row of a request is `rows` rows of the graph, as the patches of an image are, and no more than `at_once` of them go
    /// through it together.
    #[must_use]
    pub fn in_chunks(mut self, rows: NonZeroUsize, at_once: NonZeroUsize) -> Self {
        for graph in &mut self.graphs {
            graph.rows = (rows.get(), at_once.get());
        }
        self
    }

    /// The graphs that were asked for, with those that the bundle does not have.
    fn wanted(&self, options: &PlanOptions) -> Vec<(Option<Variant>, Option<Precision>, Option<&SubjectGraph>)> {
        if self.bundle.is_none() {
            return self.graphs.iter().map(|graph| (None, None, Some(graph))).collect();
        }
        let has = |variant: Variant| self.graphs.iter().any(|graph| graph.variant == Some(variant));
        let variants: Vec<Variant> = match options.variants.as_slice() {
            [] => Variant::ENCODERS.into_iter().filter(|variant| has(*variant)).collect(),
            given => given.to_vec(),
        };
        let of = |variant, precision| {
            self.graphs.iter().find(|graph| (graph.variant, graph.precision) == (Some(variant), Some(precision)))
        };
        let mut wanted = Vec::new();
        for variant in variants {
            for &precision in Precision::ALL {
                let graph = of(variant, precision);
                let asked = options.precisions.contains(&precision);
                if asked || (options.precisions.is_empty() && graph.is_some()) {
                    wanted.push((Some(variant), Some(precision), graph));
                }
            }
        }
        wanted
    }
}

fn digest(path: &Path) -> Result<String, BenchError> {
    sha256_file(path).map_err(|source| BenchError::Read { path: path.to_owned(), source })
}

/// A cell to measure, or why it cannot be.
pub(super) struct Planned {
    pub(super) key: Key,
    pub(super) work: Result<Work, String>,
}

pub(super) struct Work {
    pub(super) job: Job,
    pub(super) launch: Launch,
    /// Multiplications and additions of a request.
    pub(super) flops: Option<f64>,
}

/// What is known of a graph file.
struct Known {
    reads_text: bool,
    reads_tags: bool,
    unknown: Vec<String>,
    multiply_adds: Option<Polynomial>,
}

impl Known {
    fn of(path: &Path) -> Result<Self, String> {
        let mut graph = Graph::read(path).map_err(|error| causes(&error))?;
        // What remains unknown is not counted.
        let _ = graph.infer_shapes(path);
        let counted = graph.multiply_adds();
        Ok(Self {
            reads_text: reads_text(&graph.inputs),
            reads_tags: reads_tags(&graph.inputs),
            unknown: unknown_symbols(&graph.inputs).into_iter().map(str::to_owned).collect(),
            multiply_adds: counted.uncounted.is_empty().then_some(counted.total),
        })
    }

    fn flops(&self, runs: &[usize], text: Option<usize>) -> Option<f64> {
        let count = self.multiply_adds.as_ref()?;
        let of_run = |&rows: &usize| {
            let mut sizes = BTreeMap::from([(inputs::BATCH.to_owned(), rows as u64)]);
            sizes.extend(text.map(|text| (inputs::TEXT.to_owned(), text as u64)));
            sizes.extend(inputs::usual_sizes().map(|(name, size)| (name.to_owned(), size as u64)));
            count.eval(&sizes).ok().map(|count| 2.0 * count as f64)
        };
        runs.iter().map(of_run).sum()
    }
}

/// All cells, those that are compared beside each other: engines change fastest.
pub(super) fn plan(
    subjects: &[Subject],
    options: &PlanOptions,
    effort: &Effort,
    engines: &[EngineInfo],
) -> Vec<Planned> {
    let mut cells = Vec::new();
    for subject in subjects {
        for (variant, precision, graph) in subject.wanted(options) {
            let known = graph.map(|graph| Known::of(&graph.path));
            let texts: Vec<Option<usize>> = match &known {
                Some(Ok(known)) if !known.reads_text => vec![None],
                _ => options.texts.iter().map(|text| Some(text.get())).collect(),
            };
            for &load in &options.loads {
                for &threads in &options.threads {
                    for &text in &texts {
                        for &batch in &options.batches {
                            for contender in &options.contenders {
                                let key = Key {
                                    subject: subject.info.name.clone(),
                                    engine: contender.name().to_owned(),
                                    variant,
                                    precision,
                                    batch: batch.get(),
                                    text,
                                    threads: threads.get(),
                                    load,
                                    pipeline: options.pipeline,
                                };
                                let missing = engines.iter().find(|info| info.engine == key.engine);
                                let work = match missing.and_then(|info| info.reason.clone()) {
                                    Some(reason) => Err(reason),
                                    None => work(subject, graph, known.as_ref(), contender, &key, options, effort),
                                };
                                cells.push(Planned { key, work });
                            }
                        }
                    }
                }
            }
        }
    }
    cells
}

/// Tokens that the text of a bundle's graphs has at most: that of a row, or where tags are read apart that of a title.
pub fn most_text(bundle: &Bundle) -> usize {
    let manifest = bundle.manifest();
    manifest.max_text_tokens.saturating_sub(bundle.config().title_position(manifest.task).unwrap_or(0))
}

fn work(
    subject: &Subject,
    graph: Option<&SubjectGraph>,
    known: Option<&Result<Known, String>>,
    contender: &Contender,
    key: &Key,
    options: &PlanOptions,
    effort: &Effort,
) -> Result<Work, String> {
    let (Some(graph), Some(known)) = (graph, known) else {
        return Err("the bundle has no such graph".to_owned());
    };
    let known = known.as_ref().map_err(Clone::clone)?;
    if let Some(symbol) = known.unknown.first() {
        return Err(format!("the graph has an axis `{symbol}`, of which no size is known"));
    }
    if let (Some(common), Some(text)) = (&subject.bundle, key.text)
        && text > common.most_text
    {
        return Err(format!("the text of this bundle's graphs has at most {} tokens", common.most_text));
    }
    let launch = match contender {
        Contender::Engine(_) => options.worker.clone(),
        Contender::Peer(_) if options.pipeline => {
            return Err("a peer runs graphs, and neither decodes nor tokenizes".to_owned());
        }
        Contender::Peer(peer) => peer.launch.clone(),
    };
    let pipeline = match (options.pipeline, &subject.bundle) {
        (false, _) => None,
        (true, _) if known.reads_tags => {
            return Err("a request of this graph has tags beside its products: measure `mbsd tag` instead".to_owned());
        }
        (true, Some(common)) => Some(common.pipeline.clone()?),
        (true, None) => return Err("a graph file does not say how to decode and tokenize".to_owned()),
    };
    let runs = chunks(key.batch * graph.rows.0, graph.rows.1);
    let flops = known.flops(&runs, key.text);
    let job = Job {
        graph: graph.path.clone(),
        engine: key.engine.clone(),
        precision: key.precision,
        threads: NonZeroUsize::new(key.threads).unwrap_or(NonZeroUsize::MIN),
        runs,
        text: key.text,
        vocabulary: subject.bundle.as_ref().map_or(SMALL_VOCABULARY, |common| common.vocabulary),
        load: key.load,
        seconds: effort.seconds,
        requests: effort.requests,
        warm_up_seconds: effort.warm_up_seconds,
        seed: 0,
        onnxruntime: options.engine.onnxruntime.clone(),
        cpu_nodes: options.cpu_nodes,
        pipeline,
    };
    Ok(Work { job, launch, flops })
}

/// `rows` in pieces of `at_once`, the last one smaller where they do not divide.
fn chunks(rows: usize, at_once: usize) -> Vec<usize> {
    let at_once = at_once.clamp(1, rows.max(1));
    let mut pieces = vec![at_once; rows / at_once];
    if !rows.is_multiple_of(at_once) {
        pieces.push(rows % at_once);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_all_rows() {
        assert_eq!(chunks(8, usize::MAX), [8]);
        assert_eq!(chunks(98, 49), [49, 49]);
        assert_eq!(chunks(100, 49), [49, 49, 2]);
    }
}
