//! A model whose graphs are arithmetic on their inputs, so that jobs are tested without an engine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mbsd_data::{DuplicateIds, ProductOptions, Products};
use mbsd_spec::bundle::{DimSpec, TensorSpec};
use mbsd_spec::{Config, NamedTensors, Preprocessor, Task, Tensor, Tokenizer, Variant};

use super::error::JobError;
use super::model::Model;
use super::pipeline::Workers;
use super::sink::Destination;
use super::tasks::Catalogue;
use crate::engine::{EngineError, EngineKind, Session, SessionOptions};

/// Entries of the vocabulary after the special tokens: the tokens 5, 6, ...
const WORDS: [&str; 8] = ["red", "blue", "shirt", "shoe", "colour", ":", "a", "b"];

/// Width of the fake pooled vector.
pub(super) const HIDDEN: usize = 4;

/// What the fake graphs were asked.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Variant, rows and text length of every batch; of products read apart from their tags the number of tags.
    pub(super) batches: Mutex<Vec<(Variant, usize, usize)>>,
    /// Sessions made, by variant.
    pub(super) sessions: Mutex<BTreeMap<Variant, usize>>,
    /// Runs so far.
    pub(super) runs: AtomicUsize,
}

impl Log {
    pub(super) fn sorted_batches(&self) -> Vec<(Variant, usize, usize)> {
        let mut batches = self.batches.lock().unwrap().clone();
        batches.sort_unstable();
        batches
    }

    pub(super) fn rows(&self, variant: Variant) -> usize {
        self.batches.lock().unwrap().iter().filter(|batch| batch.0 == variant).map(|batch| batch.1).sum()
    }
}

/// What the fake graphs do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Behaviour {
    /// Fail at this run.
    pub(super) fail_at: Option<usize>,
    /// Give a NaN for rows with this token.
    pub(super) nan_for: Option<i64>,
    /// Read products apart from tags.
    pub(super) apart: bool,
}

struct FakeSession {
    variant: Variant,
    task: Task,
    inputs: Vec<TensorSpec>,
    behaviour: Behaviour,
    log: Arc<Log>,
}

impl FakeSession {
    fn new(variant: Variant, task: Task, behaviour: Behaviour, log: Arc<Log>) -> Self {
        *log.sessions.lock().unwrap().entry(variant).or_default() += 1;
        let names: &[&str] = match (variant, task) {
            (Variant::Text, Task::Match) if behaviour.apart => &["input_ids", "attention_mask", "tag_ids", "tag_mask"],
            (Variant::Image, Task::Match) if behaviour.apart => &["pixel_values", "tag_ids", "tag_mask"],
            (Variant::Full, Task::Match) if behaviour.apart => {
                &["input_ids", "attention_mask", "pixel_values", "tag_ids", "tag_mask"]
            }
            (Variant::Pair, _) => &["source", "target"],
            (Variant::Text, Task::Match) => &["input_ids", "attention_mask", "token_type_ids"],
            (Variant::Text, _) => &["input_ids", "attention_mask"],
            (Variant::Image, Task::Match) | (Variant::Full, _) => {
                &["input_ids", "attention_mask", "token_type_ids", "pixel_values"]
            }
            (Variant::Image, _) => &["pixel_values"],
            (other, _) => panic!("jobs do not use the {other} graph"),
        };
        let spec = |name: &&str| TensorSpec {
            name: (*name).to_owned(),
            dtype: String::new(),
            shape: vec![DimSpec::Symbol("batch".to_owned())],
        };
        Self { variant, task, inputs: names.iter().map(spec).collect(), behaviour, log }
    }
}

impl Session for FakeSession {
    /// `pooled` is, of each row: the sum of its token ids, of its segments, its first pixel, its tokens. The logit is
    /// 0.1 times the sum of these less 4; class c has the c-th of them.
    fn run(&mut self, inputs: &NamedTensors) -> Result<NamedTensors, EngineError> {
        let run = self.log.runs.fetch_add(1, Ordering::SeqCst);
        if self.behaviour.fail_at == Some(run) {
            let source = "out of memory".into();
            return Err(EngineError::Run { engine: EngineKind::Tract, graph: "fake".to_owned(), source });
        }
        let given: Vec<&str> = inputs.keys().map(String::as_str).collect();
        let mut wanted: Vec<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        wanted.sort_unstable();
        assert_eq!(given, wanted, "inputs of {}", self.variant);
        if self.variant == Variant::Pair {
            return Ok(pair_head(inputs));
        }
        if let Some(tag_ids) = inputs.get("tag_ids") {
            let &[batch, tags, _] = tag_ids.shape() else { panic!("tags of shape {:?}", tag_ids.shape()) };
            self.log.batches.lock().unwrap().push((self.variant, batch, tags));
            return Ok(apart(inputs, batch, tags));
        }
        let batch = inputs.values().next().unwrap().shape()[0];
        let text = inputs.get("input_ids").map_or(0, |ids| ids.shape()[1]);
        self.log.batches.lock().unwrap().push((self.variant, batch, text));
        // Uneven work, so that batches end in another order than they began.
        std::thread::sleep(Duration::from_micros((batch * 37 + text * 101) as u64 % 900));
        let mut pooled = vec![0.0; batch * HIDDEN];
        for (row, vector) in pooled.chunks_exact_mut(HIDDEN).enumerate() {
            if let (Some(ids), Some(mask)) = (inputs.get("input_ids"), inputs.get("attention_mask")) {
                let range = row * text..(row + 1) * text;
                let ids = &ids.as_i64().unwrap()[range.clone()];
                let mask = &mask.as_i64().unwrap()[range.clone()];
                vector[0] = ids.iter().zip(mask).map(|(id, mask)| (id * mask) as f32).sum();
                vector[3] = mask.iter().sum::<i64>() as f32;
                if let Some(segments) = inputs.get("token_type_ids") {
                    vector[1] = segments.as_i64().unwrap()[range].iter().sum::<i64>() as f32;
                }
                if self.behaviour.nan_for.is_some_and(|token| ids.contains(&token)) {
                    vector[0] = f32::NAN;
                }
            }
            if let Some(pixels) = inputs.get("pixel_values") {
                let size = pixels.shape()[1..].iter().product::<usize>();
                vector[2] = pixels.as_f32().unwrap()[row * size];
            }
        }
        let logits = match self.task {
            Task::Classification => Tensor::f32([batch, HIDDEN], pooled.clone()),
            _ => {
                Tensor::f32([batch], pooled.chunks_exact(HIDDEN).map(|v| 0.1 * (v.iter().sum::<f32>() - 4.0)).collect())
            }
        };
        Ok(NamedTensors::from([
            ("logits".to_owned(), logits.unwrap()),
            ("pooled".to_owned(), Tensor::f32([batch, HIDDEN], pooled).unwrap()),
        ]))
    }

    fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &[]
    }

    fn fork(&self) -> Result<Box<dyn Session>, EngineError> {
        Ok(Box::new(Self::new(self.variant, self.task, self.behaviour, self.log.clone())))
    }
}

/// The logit of a tag is a hundredth of the sum of its tokens and of its product's.
fn apart(inputs: &NamedTensors, batch: usize, tags: usize) -> NamedTensors {
    let sums = |name: &str, mask: &str, rows: usize| -> Vec<i64> {
        let (Some(ids), Some(mask)) = (inputs.get(name), inputs.get(mask)) else { return vec![0; rows] };
        let width = ids.as_i64().unwrap().len() / rows;
        let masked = ids.as_i64().unwrap().iter().zip(mask.as_i64().unwrap()).map(|(id, mask)| id * mask);
        masked.collect::<Vec<_>>().chunks(width).map(|row| row.iter().sum()).collect()
    };
    let titles = sums("input_ids", "attention_mask", batch);
    let of_tags = sums("tag_ids", "tag_mask", batch * tags);
    let logits = of_tags.iter().enumerate().map(|(place, tag)| 0.01 * (tag + titles[place / tags]) as f32);
    NamedTensors::from([("logits".to_owned(), Tensor::f32([batch, tags], logits.collect()).unwrap())])
}

/// A logit of 1 for equal vectors, less the sum of their differences.
fn pair_head(inputs: &NamedTensors) -> NamedTensors {
    let (source, target) = (inputs["source"].as_f32().unwrap(), inputs["target"].as_f32().unwrap());
    let difference = |(a, b): (&[f32], &[f32])| 1.0 - a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>();
    let logits: Vec<f32> = source.chunks_exact(HIDDEN).zip(target.chunks_exact(HIDDEN)).map(difference).collect();
    NamedTensors::from([("logits".to_owned(), Tensor::f32([logits.len()], logits).unwrap())])
}

pub(super) fn tokenizer() -> Tokenizer {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    Tokenizer::from_vocab(special.into_iter().chain(WORDS), true).unwrap()
}

/// A model over fake graphs, at most 24 text tokens.
pub(super) fn model(task: Task, available: &[Variant], behaviour: Behaviour) -> (Model, Arc<Log>) {
    let config = Config { hidden_size: HIDDEN, image_size: 32, ..Config::base() };
    let log = Arc::new(Log::default());
    let model = Model {
        task,
        preprocessor: Preprocessor::new(&config),
        config,
        tokenizer: tokenizer(),
        labels: if task == Task::Classification { ["w", "x", "y", "z"].map(str::to_owned).into() } else { Vec::new() },
        threshold: 0.5,
        thresholds: BTreeMap::new(),
        max_text_tokens: 24,
        title_position: behaviour.apart.then_some(8),
        engine: EngineKind::Tract,
        equal_lengths: false,
        available: available.to_vec(),
        load: {
            let log = log.clone();
            Box::new(move |variant, _: &SessionOptions| -> Result<Box<dyn Session>, JobError> {
                Ok(Box::new(FakeSession::new(variant, task, behaviour, log.clone())))
            })
        },
        idle: Mutex::default(),
    };
    (model, log)
}

/// A 1 x 1 BMP of one grey; its pixels are all `grey / 127.5 - 1`.
pub(super) fn bmp(grey: u8) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for word in [58u32, 0, 54, 40, 1, 1, 0x18_0001, 0, 4, 0, 0, 0, 0] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&[grey, grey, grey, 0]);
    bytes
}

/// A folder with images `0.bmp`, `128.bmp`, `255.bmp` and the broken `bad.bmp`, for input and output files.
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for grey in [0, 128, 255] {
            std::fs::write(folder.path().join(format!("{grey}.bmp")), bmp(grey)).unwrap();
        }
        std::fs::write(folder.path().join("bad.bmp"), "<html>not found</html>").unwrap();
        Self(folder)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    pub(super) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Names of the files there are.
    pub(super) fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".bmp"))
            .collect();
        names.sort_unstable();
        names
    }

    pub(super) fn products(&self, name: &str, duplicate_ids: DuplicateIds) -> Products {
        Products::open(self.path(name), &ProductOptions { duplicate_ids, ..ProductOptions::default() }).unwrap()
    }

    /// Runs a job from one file of the folder to another.
    pub(super) fn run<T>(
        &self,
        input: &str,
        output: &str,
        workers: Workers,
        job: impl FnOnce(Catalogue<'_>) -> T,
    ) -> T {
        let output_path = self.path(output);
        self.run_to(input, Destination::File(&output_path), workers, job)
    }

    /// Runs a job from a file of the folder.
    pub(super) fn run_to<T>(
        &self,
        input: &str,
        output: Destination<'_>,
        workers: Workers,
        job: impl FnOnce(Catalogue<'_>) -> T,
    ) -> T {
        let input_path = self.path(input);
        job(Catalogue {
            products: self.products(input, DuplicateIds::Refuse),
            input: &input_path,
            output,
            max_errors: None,
            session: &SessionOptions::default(),
            workers,
            progress: &|_| (),
        })
    }
}

pub(super) const ONE: Workers = Workers { prepare: 1, sessions: 1, session_threads: 1 };

/// `count` products in JSON Lines: of every three one with both, one with a title, one with an image; titles of all
/// lengths; every tenth row is bad in one of several ways.
pub(super) fn mixed_products(count: usize) -> String {
    let row = |i: usize| {
        let title = WORDS.iter().cycle().skip(i % 5).take(1 + i * 7 % 20).copied().collect::<Vec<_>>().join(" ");
        let image = [0, 128, 255][i % 7 % 3];
        match (i % 10, i % 3) {
            (9, 0) => format!("{{\"id\": \"p{i}\", \"title\": \"{title}\", \"image\": \"missing.bmp\"}}"),
            (9, 1) => format!("{{\"id\": \"p{i}\""),
            (9, _) => format!("{{\"id\": \"p{i}\", \"title\": \" \"}}"),
            (_, 0) => format!("{{\"id\": \"p{i}\", \"title\": \"{title}\", \"image\": \"{image}.bmp\"}}"),
            (_, 1) => format!("{{\"id\": \"p{i}\", \"title\": \"{title}\"}}"),
            _ => format!("{{\"id\": \"p{i}\", \"image\": \"{image}.bmp\"}}"),
        }
    };
    (0..count).map(|i| row(i) + "\n").collect()
}
