//! Small untrained models as bundles, for suites about everything but their scores.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use burn::tensor::Device;
use mbsd_net::{Head, Mbsd};
use mbsd_runtime::tensors;
use mbsd_spec::{Config, Task, Tensor, Tokenizer};

use crate::binaries::{program, succeed};
use crate::models::noise;

/// Standard deviation of the paper's initial weights.
const INITIAL_DEVIATION: f32 = 0.02;

/// Classes of the classification bundle.
const CLASSES: usize = 3;

/// A vocabulary that spells every word of small Latin letters and digits, and some Chinese characters.
pub fn vocabulary() -> Vec<String> {
    let letters = || ('a'..='z').chain('0'..='9');
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ":", ",", "-"].map(str::to_owned);
    let chinese = "红蓝黑色连衣裙半高领".chars();
    special
        .into_iter()
        .chain(letters().chain(chinese).map(String::from))
        .chain(letters().map(|c| format!("##{c}")))
        .collect()
}

/// The architecture of the small bundles: one layer, images of 32 x 32 pixels, at most 40 tokens of text.
pub fn small_config() -> Config {
    Config {
        hidden_size: 32,
        num_hidden_layers: 1,
        num_attention_heads: 4,
        intermediate_size: 64,
        vocab_size: vocabulary().len(),
        max_position_embeddings: 40,
        image_size: 32,
        patch_size: 16,
        ..Config::base()
    }
}

/// The files of a bundle, held in memory: every test writes, and may spoil, a copy of its own.
#[derive(Debug)]
pub struct SmallBundle {
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl SmallBundle {
    /// A bundle for a task with its tokenizer, exported with `mbsd-export` once a process.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn of(task: Task) -> &'static Self {
        static MATCH: OnceLock<SmallBundle> = OnceLock::new();
        static CLASSIFICATION: OnceLock<SmallBundle> = OnceLock::new();
        static ALIGNMENT: OnceLock<SmallBundle> = OnceLock::new();
        match task {
            Task::Match => MATCH.get_or_init(|| Self::export(Head::Match)),
            Task::Classification => {
                CLASSIFICATION.get_or_init(|| Self::export(Head::Classification { classes: CLASSES }))
            }
            Task::Alignment => ALIGNMENT.get_or_init(|| Self::export(Head::Alignment)),
        }
    }

    fn export(head: Head) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        checkpoint(head, 10.0, folder.path());
        succeed(
            program("mbsd-export")
                .args(["--engines", "tract", "--checkpoint"])
                .arg(folder.path())
                .arg("--out")
                .arg(at("bundle")),
        );
        let mut files = Vec::new();
        collect(&at("bundle"), Path::new(""), &mut files);
        Self { files }
    }

    /// Writes a copy as the folder `root`.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, root: &Path) {
        for (path, bytes) in &self.files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
            fs::write(path, bytes).expect("a file");
        }
    }
}

/// Writes a checkpoint of the small architecture and its tokenizer into a folder. Its weights are the same each time, and `wider`
/// times as far apart as the paper's initial ones, under which all products score nearly the same.
///
/// # Panics
/// If it cannot be written.
pub fn checkpoint(head: Head, wider: f32, folder: &Path) {
    checkpoint_of(&small_config(), head, wider, folder);
}

/// As [`checkpoint`], of another architecture over the same vocabulary.
///
/// # Panics
/// If it cannot be written.
pub fn checkpoint_of(config: &Config, head: Head, wider: f32, folder: &Path) {
    let tokenizer = Tokenizer::from_vocab(vocabulary(), true).expect("a vocabulary without repetitions");
    let weights = folder.join("model.safetensors");
    mbsd_net::save(&Mbsd::init(config, head, &Device::flex()), &weights).expect("weights");
    redraw(&weights, wider);
    fs::write(folder.join("config.json"), config.to_json()).expect("a configuration");
    fs::write(folder.join("tokenizer.json"), tokenizer.to_json()).expect("a tokenizer");
}

/// Replaces tables, maps and kernels by reproducible noise, so that a mix-up of rows shows, and shows each time.
fn redraw(weights: &Path, wider: f32) {
    let mut tensors = tensors::read(weights).expect("weights just written");
    for (seed, tensor) in (1..).zip(tensors.values_mut()) {
        if let Tensor::F32 { shape, data } = tensor
            && shape.len() > 1
        {
            // Noise in [-1, 1) has a standard deviation of 1 / sqrt(3).
            let scale = INITIAL_DEVIATION * wider * 3f32.sqrt();
            *data = noise(data.len(), seed).into_iter().map(|value| value * scale).collect();
        }
    }
    tensors::write(weights, &tensors).expect("weights");
}

fn collect(root: &Path, below: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(root.join(below)).expect("a folder") {
        let entry = entry.expect("a readable folder");
        let path = below.join(entry.file_name());
        if entry.path().is_dir() {
            collect(root, &path, files);
        } else {
            files.push((path, fs::read(entry.path()).expect("a readable file")));
        }
    }
}
