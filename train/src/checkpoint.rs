//! Checkpoints: folders that are whole or not there.
//!
//! `<output>/last` continues a run, `<output>/best` is what to export, `<output>/step-N` are earlier ones, where asked for. Both hold `model.safetensors` under the released
//! model's names, `config.json`, `tokenizer.json`, `preprocessor_config.json`, `labels.txt` (classification) and
//! `training.json`; `last` also holds the optimizer's moments.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use mbsd_data::staged::write_whole;
use mbsd_net::{Network, save_network, weights};
use mbsd_spec::image::Preprocessor;
use mbsd_spec::text::Tokenizer;
use mbsd_spec::{Config, Task, Variant};
use serde::{Deserialize, Serialize};

use crate::evaluate::Metrics;
use crate::optim::Optimizer;
use crate::{Run, TrainError};

/// Folder of the newest checkpoint.
pub const LAST: &str = "last";
/// Folder of the checkpoint with the best validation score.
pub const BEST: &str = "best";
/// What precedes the step in the names of earlier checkpoints.
const EARLIER: &str = "step-";
/// The folder that is being removed.
const GONE: &str = ".gone";
/// The optimizer's moments.
pub const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "training.json";
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
const LABELS: &str = "labels.txt";

/// How far a run is, and how good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The head's task.
    pub task: Task,
    /// Epochs finished.
    pub epoch: usize,
    /// Batches taken of the next epoch.
    #[serde(default)]
    pub batch: usize,
    /// Steps taken.
    pub step: usize,
    /// Steps of the whole run.
    #[serde(default)]
    pub steps: usize,
    /// The training products it began with; none in a checkpoint that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub products: Option<TrainingProducts>,
    /// Measures of the validation rows after the last finished epoch, by variant.
    pub validation: BTreeMap<Variant, Metrics>,
    /// The best score of the run so far.
    pub best: Option<f64>,
    /// The run, as checked and expanded.
    pub run: Run,
}

/// Which products a run is trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingProducts {
    /// Their number.
    pub count: usize,
    /// SHA-256 of their ids, in order, a line each.
    pub ids: String,
}

/// What a checkpoint holds.
#[derive(Debug)]
pub struct Checkpoint<'a> {
    /// The weights.
    pub model: &'a Network,
    /// The architecture.
    pub config: &'a Config,
    /// Text to token ids.
    pub tokenizer: &'a Tokenizer,
    /// Class names (classification).
    pub labels: Option<&'a [String]>,
    /// Progress and measures.
    pub state: &'a State,
    /// Moments, where the run is to be continued from here.
    pub optimizer: Option<&'a Optimizer>,
}

impl Checkpoint<'_> {
    /// Writes the folder `name` in `output`: beside it first, then in its place, so that a crash leaves the old one or the
    /// new one.
    ///
    /// # Errors
    /// [`TrainError::Io`] and [`TrainError::Weights`].
    pub fn write(&self, output: &Path, name: &str) -> Result<(), TrainError> {
        self.write_keeping(output, name, 1)
    }

    /// As [`Checkpoint::write`], keeping `keep` checkpoints: this one, and the ones before it, as `step-N` beside it.
    ///
    /// # Errors
    /// [`TrainError::Io`] and [`TrainError::Weights`].
    pub fn write_keeping(&self, output: &Path, name: &str, keep: usize) -> Result<(), TrainError> {
        let target = output.join(name);
        let (temporary, old) = (output.join(format!(".{name}.new")), set_aside(output, name));
        remove(&temporary)?;
        fs::create_dir_all(&temporary).map_err(TrainError::io("create", &temporary))?;
        self.write_files(&temporary)?;
        discard(output, &old)?;
        if target.exists() {
            fs::rename(&target, &old).map_err(TrainError::io("rename", &target))?;
        }
        fs::rename(&temporary, &target).map_err(TrainError::io("rename", &temporary))?;
        if keep > 1 && old.exists() {
            // The checkpoint after an epoch's last step and the one with its validation measures are one.
            if State::read(&old)?.step != self.state.step {
                keep_aside(output, &old)?;
            }
        }
        let earlier = earlier(output)?;
        for (_, folder) in earlier.iter().rev().skip(keep - 1).filter(|_| name == LAST) {
            discard(output, folder)?;
        }
        discard(output, &old)
    }

    fn write_files(&self, folder: &Path) -> Result<(), TrainError> {
        save_network(self.model, folder.join(weights::FILE_NAME))?;
        if let Some(optimizer) = self.optimizer {
            optimizer.save(&folder.join(OPTIMIZER))?;
        }
        let mut texts = vec![
            (CONFIG, self.config.to_json()),
            (TOKENIZER, self.tokenizer.to_json()),
            (PREPROCESSOR, Preprocessor::new(self.config).to_json()),
            (STATE, self.state.to_json()),
        ];
        texts.extend(self.labels.map(|labels| (LABELS, labels.join("\n") + "\n")));
        for (name, text) in texts {
            let path = folder.join(name);
            fs::write(&path, text).map_err(TrainError::io("write", &path))?;
        }
        // The optimizer's file comes readable for its owner alone; whoever may read the weights may go on from them.
        let usual = fs::metadata(folder.join(STATE)).map(|file| file.permissions());
        let usual = usual.map_err(TrainError::io("read", folder))?;
        // A rename may reach the disk before the bytes of the files do.
        for entry in fs::read_dir(folder).map_err(TrainError::io("read", folder))?.flatten() {
            let path = entry.path();
            fs::set_permissions(&path, usual.clone())
                .and_then(|()| File::open(&path)?.sync_all())
                .map_err(TrainError::io("write", &path))?;
        }
        Ok(())
    }
}

impl State {
    fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a struct of plain fields is JSON");
        text.push('\n');
        text
    }

    /// Reads the state of a checkpoint.
    ///
    /// # Errors
    /// [`TrainError::Io`] and [`TrainError::Resume`].
    pub fn read(folder: &Path) -> Result<Self, TrainError> {
        let path = folder.join(STATE);
        let text = fs::read_to_string(&path).map_err(TrainError::io("read", &path))?;
        serde_json::from_str(&text).map_err(|error| TrainError::Resume { path, reason: error.to_string() })
    }
}

/// The checkpoint to continue from, if there is one. For the process that trains into the folder: what a kill between two renames left
/// is put right, so that the last, the best and the `keep` newest checkpoints are where they belong.
///
/// # Errors
/// [`TrainError::Io`].
pub fn recover(output: &Path, keep: usize) -> Result<Option<PathBuf>, TrainError> {
    let last = output.join(LAST);
    remove(&output.join(GONE))?;
    for name in [BEST, LAST] {
        let (target, old) = (output.join(name), set_aside(output, name));
        if !old.exists() {
            continue;
        }
        if !target.exists() {
            fs::rename(&old, &target).map_err(TrainError::io("rename", &old))?;
        } else if name == LAST && keep > 1 && is_another(&old, &last)? {
            keep_aside(output, &old)?;
        } else {
            discard(output, &old)?;
        }
    }
    Ok(last.exists().then_some(last))
}

/// Whether a folder without a last checkpoint has others of a run.
///
/// # Errors
/// [`TrainError::Io`].
pub fn has_others(output: &Path) -> Result<bool, TrainError> {
    Ok(output.join(BEST).exists() || !earlier(output)?.is_empty())
}

/// How far a run has come, by its newest whole checkpoint; `None` where it has none. Whoever asks while another process trains may be told
/// of an earlier one, or of none.
///
/// # Errors
/// [`TrainError::Io`] and [`TrainError::Resume`].
pub fn progress(output: &Path) -> Result<Option<State>, TrainError> {
    for folder in [output.join(LAST), set_aside(output, LAST)] {
        match State::read(&folder) {
            Err(TrainError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            state => return state.map(Some),
        }
    }
    Ok(None)
}

/// Whether a folder that was set aside is a checkpoint, of another step than `last`.
fn is_another(old: &Path, last: &Path) -> Result<bool, TrainError> {
    let step = State::read(last)?.step;
    Ok(State::read(old).is_ok_and(|old| old.step != step))
}

/// Keeps a checkpoint that was the last one, under the number of its step.
fn keep_aside(output: &Path, old: &Path) -> Result<(), TrainError> {
    let aside = output.join(format!("{EARLIER}{}", State::read(old)?.step));
    discard(output, &aside)?;
    fs::rename(old, &aside).map_err(TrainError::io("rename", old))
}

/// A checkpoint's architecture.
///
/// # Errors
/// If it cannot be read.
pub fn read_config(folder: &Path) -> Result<Config, TrainError> {
    let config = Config::from_file(folder.join(CONFIG))?;
    // Checkpoints of earlier versions have the limit in their run alone.
    let of_run = || State::read(folder).ok()?.run.data.max_text_tokens;
    let text_limit = config.text_limit.or_else(of_run).map(|limit| limit.min(config.max_text_tokens()));
    Ok(Config { text_limit, ..config })
}

/// A checkpoint's architecture, tokenizer and class names.
///
/// # Errors
/// If one of the files cannot be read.
pub fn read_parts(folder: &Path) -> Result<(Config, Tokenizer, Option<Vec<String>>), TrainError> {
    let config = read_config(folder)?;
    let tokenizer = Tokenizer::from_file(folder.join(TOKENIZER))?;
    tokenizer.check_fits(&config)?;
    let path = folder.join(LABELS);
    let labels = if path.exists() { Some(read_lines(&path)?) } else { None };
    Ok((config, tokenizer, labels))
}

/// The lines of a file that are not empty.
///
/// # Errors
/// [`TrainError::Io`].
pub fn read_lines(path: &Path) -> Result<Vec<String>, TrainError> {
    let text = fs::read_to_string(path).map_err(TrainError::io("read", path))?;
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
}

/// The checkpoints that were the last ones once, by step.
fn earlier(output: &Path) -> Result<BTreeMap<usize, PathBuf>, TrainError> {
    let entries = fs::read_dir(output).map_err(TrainError::io("read", output))?;
    let step = |path: &Path| path.file_name()?.to_str()?.strip_prefix(EARLIER)?.parse().ok();
    Ok(entries.flatten().filter_map(|entry| Some((step(&entry.path())?, entry.path()))).collect())
}

fn set_aside(output: &Path, name: &str) -> PathBuf {
    output.join(format!(".{name}.old"))
}

/// Removes a checkpoint so that a kill in the midst of it leaves none that is there in part.
fn discard(output: &Path, folder: &Path) -> Result<(), TrainError> {
    let gone = output.join(GONE);
    remove(&gone)?;
    match fs::rename(folder, &gone) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(TrainError::io("remove", folder)(error)),
        Ok(()) => remove(&gone),
    }
}

fn remove(folder: &Path) -> Result<(), TrainError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TrainError::io("remove", folder)(error)),
        _ => Ok(()),
    }
}

/// Lines of JSON that grow with the run: `metrics.jsonl`.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens the log of a run. On resuming, what `state` does not know of is dropped: it will be done again.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn open(output: &Path, state: &State) -> Result<Self, TrainError> {
        let path = output.join("metrics.jsonl");
        let known = |line: &&str| {
            let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else { return false };
            let most = |key: &str, most: usize| value[key].as_u64().is_some_and(|found| found <= most as u64);
            most("step", state.step) && (value["validation"].is_null() || most("epoch", state.epoch))
        };
        let kept: String = match fs::read_to_string(&path) {
            Ok(text) if state.step > 0 => text.lines().filter(known).flat_map(|line| [line, "\n"]).collect(),
            _ => String::new(),
        };
        write_whole(&path, &kept).map_err(TrainError::io("write", &path))?;
        let file = File::options().append(true).open(&path).map_err(TrainError::io("write", &path))?;
        Ok(Self { path, file })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn write(&mut self, line: &serde_json::Value) -> Result<(), TrainError> {
        writeln!(self.file, "{line}").map_err(TrainError::io("write", &self.path))
    }
}
