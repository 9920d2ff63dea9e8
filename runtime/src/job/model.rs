//! A bundle made ready for jobs: its graphs on an engine, its tokenizer, its preprocessing.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mbsd_spec::bundle::names;
use mbsd_spec::{BatchLimits, Bundle, Config, Precision, Preprocessor, Task, Tokenizer, Variant};

use super::JobError;
use crate::engine::{Engine, EngineKind, Session, SessionOptions, TokenBuckets};

/// Probability from which a tag or a pair counts as matching, where neither the bundle nor the user says.
const DEFAULT_THRESHOLD: f32 = 0.5;

/// Loads the graph of a variant.
pub(super) type Load = dyn Fn(Variant, &SessionOptions) -> Result<Box<dyn Session>, JobError> + Send + Sync;

/// A model that jobs can use.
///
/// Graphs are loaded when the first row needs them: a catalogue without a single image-only product never holds the
/// weights of the image graph.
pub struct Model {
    pub(super) task: Task,
    pub(super) config: Config,
    pub(super) tokenizer: Tokenizer,
    pub(super) preprocessor: Preprocessor,
    pub(super) labels: Vec<String>,
    pub(super) threshold: f32,
    /// Thresholds by attribute name.
    pub(super) thresholds: BTreeMap<String, f32>,
    pub(super) max_text_tokens: usize,
    /// Where titles begin, where the graphs read a product once for all of its tags (one-way attention).
    pub(super) title_position: Option<usize>,
    pub(super) engine: EngineKind,
    /// Whether the rows of a batch have one length.
    pub(super) equal_lengths: bool,
    /// Encoder variants of the chosen precision, in the order of preference.
    pub(super) available: Vec<Variant>,
    pub(super) load: Box<Load>,
    /// Sessions that no job uses at the moment, by variant and threads.
    pub(super) idle: Mutex<Vec<Idle>>,
}

/// A session that may be used again.
pub(super) struct Idle {
    variant: Variant,
    threads: Option<NonZeroUsize>,
    session: Box<dyn Session>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("task", &self.task)
            .field("engine", &self.engine)
            .field("available", &self.available)
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Makes a bundle ready on an engine.
    ///
    /// # Errors
    /// If the bundle has no tokenizer, no encoder graph in this precision, or parts that do not belong together.
    pub fn open(bundle: &Bundle, engine: Arc<dyn Engine>, precision: Precision) -> Result<Self, JobError> {
        let manifest = bundle.manifest();
        let config = bundle.config().clone();
        let tokenizer = Tokenizer::from_file(bundle.file(names::TOKENIZER)?.ok_or(JobError::NoTokenizer)?)?;
        tokenizer.check_fits(&config)?;
        let preprocessor = match bundle.file(names::PREPROCESSOR)? {
            Some(file) => Preprocessor::from_file(file)?,
            None => Preprocessor::new(&config),
        };
        preprocessor.check_fits(&config)?;
        let title_position = config.title_position(manifest.task);
        if let Some(position) = title_position.filter(|position| position + 2 > manifest.max_text_tokens) {
            let limit = manifest.max_text_tokens;
            let reason =
                format!("its rows have at most {limit} tokens, and titles begin at {position}; export it again");
            return Err(JobError::Contract { graph: "bundle".to_owned(), reason });
        }
        let available: Vec<Variant> =
            Variant::ENCODERS.into_iter().filter(|&variant| manifest.artifact(variant, precision).is_some()).collect();
        if available.is_empty() {
            let present: Vec<_> = manifest.artifacts.iter().map(|a| format!("{} {}", a.precision, a.variant)).collect();
            return Err(JobError::NoGraph { precision, present: present.join(", ") });
        }
        Ok(Self {
            task: manifest.task,
            title_position,
            config,
            tokenizer,
            preprocessor,
            labels: manifest.labels.clone(),
            threshold: manifest.threshold.unwrap_or(DEFAULT_THRESHOLD),
            thresholds: manifest.thresholds.clone(),
            max_text_tokens: manifest.max_text_tokens,
            engine: engine.kind(),
            equal_lengths: equal_lengths(precision, engine.kind()),
            available,
            load: {
                let bundle = bundle.clone();
                Box::new(move |variant, options| {
                    let (_, file) = bundle.artifact(variant, precision)?;
                    Ok(engine.load(&file, options)?)
                })
            },
            idle: Mutex::default(),
        })
    }

    /// The same model with batches as they are cut for graphs of a precision: for graphs that stand in for the bundle's own.
    #[must_use]
    pub fn batched_as(self, precision: Precision) -> Self {
        Self { equal_lengths: equal_lengths(precision, self.engine), ..self }
    }

    /// What the model answers.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Probability from which a tag counts: of its attribute, else of all.
    pub(super) fn threshold_of(&self, tag: &str) -> f32 {
        self.thresholds.get(mbsd_data::attribute_of(tag)).copied().unwrap_or(self.threshold)
    }

    /// Checks that the model answers a command's question.
    ///
    /// # Errors
    /// [`JobError::Task`].
    pub fn require(&self, needed: Task) -> Result<(), JobError> {
        if self.task == needed { Ok(()) } else { Err(JobError::Task { found: self.task, needed }) }
    }

    /// Checks that there is a graph for a variant that products are to be sent through.
    pub(super) fn require_variant(&self, variant: Variant) -> Result<(), JobError> {
        if self.available.contains(&variant) {
            return Ok(());
        }
        let present: Vec<&str> = self.available.iter().map(|variant| variant.name()).collect();
        let message = format!("no {variant} graph that encodes products; the bundle has: {}", present.join(", "));
        Err(JobError::Setting(message))
    }

    /// Tokens an image takes in a variant's sequence.
    pub(super) fn image_tokens(&self, variant: Variant) -> usize {
        match variant {
            Variant::Full | Variant::Image => self.config.image_tokens(),
            _ => 0,
        }
    }

    /// The name of a class; its number where the bundle names none.
    pub(super) fn label(&self, class: usize) -> String {
        self.labels.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}

/// Padding adds nothing to a row, but has its sums in attention added up in another order. The last bit of an f32 score may
/// change with it; where activations are rounded to bytes, that bit may decide a rounding, and the third digit change. On a
/// CPU, where small batches cost little, such graphs get rows of one length, so that a score is the row's own.
fn equal_lengths(precision: Precision, engine: EngineKind) -> bool {
    matches!(precision, Precision::Int8 | Precision::Qdq) && matches!(engine, EngineKind::Tract | EngineKind::OrtCpu)
}

/// The sessions that the workers of one job share out among themselves.
pub(super) struct Sessions<'a> {
    model: &'a Model,
    options: SessionOptions,
    workers: usize,
    limits: BatchLimits,
    pools: Mutex<BTreeMap<Variant, Pool>>,
    load_time: Mutex<Duration>,
}

struct Pool {
    first: Box<dyn Session>,
    /// Workers that have not taken a session yet.
    left: usize,
}

impl<'a> Sessions<'a> {
    /// Sessions for so many workers, whose batches keep to `limits`.
    pub(super) fn new(model: &'a Model, options: SessionOptions, workers: usize, limits: BatchLimits) -> Self {
        Self { model, options, workers, limits, pools: Mutex::default(), load_time: Mutex::default() }
    }

    /// What a variant's graph is loaded with: TensorRT is told which batches will come, unless the user said.
    fn options(&self, variant: Variant) -> SessionOptions {
        let mut options = self.options.clone();
        options.tensorrt.buckets.get_or_insert_with(|| {
            let image_tokens = self.model.image_tokens(variant);
            let BatchLimits { max_tokens, max_rows } = self.limits;
            let max_text_tokens = self.model.max_text_tokens;
            match self.model.title_position {
                None => TokenBuckets::doubling(max_text_tokens, max_tokens, image_tokens, max_rows),
                Some(tag_tokens) => TokenBuckets {
                    tag_tokens,
                    ..TokenBuckets::doubling(max_text_tokens - tag_tokens, max_tokens, image_tokens, max_rows)
                },
            }
        });
        options
    }

    /// A session for one worker, which takes each variant once: one that an earlier job left, else a copy of the first. The last worker
    /// takes the first session itself, so that there are no more sessions than workers.
    pub(super) fn take(&self, variant: Variant) -> Result<Box<dyn Session>, JobError> {
        let mut idle = self.model.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let threads = self.options.threads;
        if let Some(place) = idle.iter().position(|idle| idle.variant == variant && idle.threads == threads) {
            return Ok(idle.swap_remove(place).session);
        }
        drop(idle);
        // The map is whole whatever happened to another worker.
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Instant::now();
        let mut pool = match pools.remove(&variant) {
            Some(pool) => pool,
            None => Pool { first: (self.model.load)(variant, &self.options(variant))?, left: self.workers },
        };
        pool.left = pool.left.saturating_sub(1);
        let session = if pool.left == 0 {
            pool.first
        } else {
            let session = pool.first.fork()?;
            pools.insert(variant, pool);
            session
        };
        *self.load_time.lock().unwrap_or_else(PoisonError::into_inner) += start.elapsed();
        Ok(session)
    }

    /// Leaves a session to the next job with this model.
    pub(super) fn give_back(&self, variant: Variant, session: Box<dyn Session>) {
        let mut idle = self.model.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle { variant, threads: self.options.threads, session });
    }

    /// Time spent loading graphs.
    pub(super) fn load_time(&self) -> Duration {
        *self.load_time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mbsd_spec::bundle::{Artifact, BundleWriter, Manifest, Provenance, SCHEMA_VERSION};

    use super::*;
    use crate::engine::EngineError;
    use crate::job::testing::tokenizer;

    /// An engine that only says which file it was given.
    struct FileName;

    impl Engine for FileName {
        fn kind(&self) -> EngineKind {
            EngineKind::OrtCpu
        }

        fn version(&self) -> String {
            String::new()
        }

        fn load(&self, graph: &Path, _: &SessionOptions) -> Result<Box<dyn Session>, EngineError> {
            let name = graph.file_name().unwrap().to_string_lossy().into_owned();
            Err(EngineError::Graph { engine: self.kind(), path: graph.to_owned(), source: name.into() })
        }
    }

    fn bundle(folder: &Path, variants: &[Variant], vocab_size: usize, with_tokenizer: bool) -> Bundle {
        let writer = BundleWriter::create(folder).unwrap();
        let config = Config { vocab_size, ..Config::base() };
        writer.write(names::CONFIG, config.to_json()).unwrap();
        if with_tokenizer {
            writer.write(names::TOKENIZER, tokenizer().to_json()).unwrap();
        }
        let artifact = |&variant: &Variant| {
            let path = format!("{}/{variant}.onnx", names::GRAPHS);
            writer.write(&path, variant.name()).unwrap();
            Artifact {
                variant,
                precision: Precision::F32,
                path,
                opset: 17,
                bytes: 0,
                inputs: Vec::new(),
                outputs: Vec::new(),
                parity: BTreeMap::new(),
                quantization: None,
            }
        };
        let artifacts = variants.iter().map(artifact).collect();
        let manifest = Manifest {
            schema_version: SCHEMA_VERSION,
            task: Task::Match,
            labels: Vec::new(),
            threshold: None,
            thresholds: BTreeMap::new(),
            max_text_tokens: 144,
            artifacts,
            files: BTreeMap::new(),
            provenance: Provenance::default(),
        };
        writer.finish(manifest).unwrap();
        Bundle::open(folder).unwrap()
    }

    #[test]
    fn tensorrt_is_told_which_batches_will_come() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = bundle(folder.path(), &[Variant::Full, Variant::Text], 100, true);
        let model = Model::open(&bundle, Arc::new(FileName), Precision::F32).unwrap();
        let limits = BatchLimits { max_tokens: 1000, max_rows: 8 };
        let buckets = |options: SessionOptions, variant| {
            Sessions::new(&model, options, 1, limits).options(variant).tensorrt.buckets.unwrap()
        };
        let text = buckets(SessionOptions::default(), Variant::Text);
        assert_eq!(text, TokenBuckets { tag_tokens: 0, ..TokenBuckets::doubling(144, 1000, 0, 8) });
        assert_eq!(buckets(SessionOptions::default(), Variant::Full).image_tokens, 50);
        let mut given = SessionOptions::default();
        given.tensorrt.buckets = Some(TokenBuckets { rows: 3, ..text.clone() });
        assert_eq!(buckets(given, Variant::Text).rows, 3, "what the user says goes");
    }

    #[test]
    fn a_bundle_must_have_what_jobs_need() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str, variants: &[Variant], vocab_size, with_tokenizer, precision| {
            let bundle = bundle(&folder.path().join(name), variants, vocab_size, with_tokenizer);
            Model::open(&bundle, Arc::new(FileName), precision)
        };
        let all = [Variant::Text, Variant::Full, Variant::Pair];
        let model = open("a", &all, 100, true, Precision::F32).unwrap();
        assert_eq!((model.available.as_slice(), model.threshold), (&[Variant::Full, Variant::Text][..], 0.5));
        let limits = BatchLimits { max_tokens: 1000, max_rows: 8 };
        let sessions = Sessions::new(&model, SessionOptions::default(), 2, limits);
        let Err(JobError::Engine(EngineError::Graph { path, .. })) = sessions.take(Variant::Text) else { panic!() };
        assert!(path.ends_with("onnx/text.onnx"), "{}", path.display());
        assert!(matches!(sessions.take(Variant::Image), Err(JobError::Bundle(_))));

        let message = |outcome: Result<Model, JobError>| outcome.unwrap_err().to_string();
        let error = message(open("b", &all, 100, false, Precision::F32));
        assert!(error.starts_with("the bundle has no tokenizer.json"), "{error}");
        let error = message(open("c", &all, 100, true, Precision::F16));
        assert_eq!(error, "the bundle has no f16 graph that encodes products; it has: f32 text, f32 full, f32 pair");
        let error = message(open("d", &[Variant::Pair], 100, true, Precision::F32));
        assert_eq!(error, "the bundle has no f32 graph that encodes products; it has: f32 pair");
        let error = open("e", &all, 7, true, Precision::F32).unwrap_err();
        assert!(matches!(error, JobError::Tokenizer(_)), "{error}");
    }
}
