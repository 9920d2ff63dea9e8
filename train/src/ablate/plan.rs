//! From an ablation file to runs, each of them once however many rows share it.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use mbsd_spec::bundle::sha256;
use mbsd_spec::{Architecture, Config, Variant};
use toml::{Table, Value};

use super::file::{Ablation, Row, Stage};
use crate::checkpoint::{BEST, State, progress};
use crate::run::{TeacherSettings, table};
use crate::session::diverged::noted;
use crate::{Run, TrainError};

/// Keys of `[data]` and of a task's table that rows may differ in: they decide what is learnt, and not from what it is told.
const TRAINED_ON: [&str; 5] = ["train", "pairs", "tags_per_product", "head", "max_text_tokens"];

/// Hexadecimal digits of a digest in the name of a run's folder.
const DIGITS: usize = 12;

/// One run of one or more rows.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRun {
    /// Its folder, `<stage>-<digest>`.
    pub name: String,
    /// Its stage.
    pub stage: Stage,
    /// The run itself; those after a first stage start from `previous`.
    pub run: Run,
    /// Index of the run that it starts from.
    pub previous: Option<usize>,
    /// Index of the run whose model teaches it.
    pub teacher: Option<usize>,
    /// The model's dimensions, but for the vocabulary.
    config: Config,
}

impl PlannedRun {
    /// The network it trains.
    pub fn architecture(&self) -> Architecture {
        self.config.architecture
    }

    /// Its state, if it is finished.
    ///
    /// # Errors
    /// [`TrainError::Io`] and [`TrainError::Resume`].
    pub fn finished(&self) -> Result<Option<State>, TrainError> {
        let Some(state) = progress(&self.run.output)? else { return Ok(None) };
        let whole = state.epoch >= self.run.training.epochs && self.run.output.join(BEST).exists();
        Ok(whole.then_some(state))
    }

    /// Why it diverged, if that is noted since then.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub(super) fn diverged(&self, since: SystemTime) -> Result<Option<String>, TrainError> {
        Ok(noted(&self.run.output, since)?.map(|reason| format!("{}: {reason}", self.name)))
    }
}

/// One row with one seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Index of the row.
    pub row: usize,
    /// The seed.
    pub seed: u64,
    /// Indices of its runs, the last being the fine-tuned model's.
    pub runs: Vec<usize>,
}

/// What an ablation file comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The file.
    pub ablation: Ablation,
    /// Every run once.
    pub runs: Vec<PlannedRun>,
    /// All rows with the first seed, then with the next: the order in which they are trained.
    pub cells: Vec<Cell>,
}

impl Plan {
    /// Expands and checks every run.
    ///
    /// # Errors
    /// [`TrainError::Io`] and [`TrainError::Run`], with the row's name.
    pub fn new(ablation: Ablation) -> Result<Self, TrainError> {
        let mut texts = Vec::new();
        for stage in Stage::ALL {
            let Some(path) = ablation.file(stage) else { continue };
            let text = fs::read_to_string(&path).map_err(TrainError::io("read", &path))?;
            texts.push((stage, path, text));
        }
        let mut plan = Self { ablation: ablation.clone(), runs: Vec::new(), cells: Vec::new() };
        for &seed in &ablation.seeds {
            for (index, row) in ablation.rows.iter().enumerate() {
                let runs = plan.expand(row, seed, &texts).map_err(|error| match error {
                    TrainError::Run { place, reason } => {
                        TrainError::run(format!("row `{}`: {place}", row.name), reason)
                    }
                    other => other,
                })?;
                plan.cells.push(Cell { row: index, seed, runs });
            }
        }
        plan.check_comparable()?;
        Ok(plan)
    }

    /// The runs of a row, those that are not planned yet added.
    fn expand(&mut self, row: &Row, seed: u64, texts: &[(Stage, PathBuf, String)]) -> Result<Vec<usize>, TrainError> {
        let mut runs: Vec<usize> = Vec::new();
        // A run file that starts from a checkpoint has no dimensions: they are those of the stages before.
        let mut model = Table::new();
        for (stage, path, text) in texts {
            let place = path.display().to_string();
            let used = row.stages.contains(stage);
            let mut table = table(text, &place, &self.changes(row, *stage, used))?;
            if let Some(Value::Table(own)) = table.remove("model") {
                if own.get("attention").is_some_and(|form| form.as_str() == Some("full")) {
                    model.remove("title_position");
                }
                model.extend(own.into_iter().filter(|(key, _)| key != "checkpoint"));
            }
            if !used {
                continue;
            }
            // Where its checkpoint lies is known when the runs are named.
            let teacher = row.teacher.as_ref().filter(|_| *stage == Stage::Finetune);
            let teacher = teacher.map(|name| (self.cell_of(name, seed), table.remove("teacher")));
            table.insert("model".into(), Value::Table(model.clone()));
            table.insert("output".into(), Value::String(String::new()));
            table.insert("seed".into(), Value::Integer(i64::try_from(seed).unwrap_or(i64::MAX)));
            if let Some(file) = &self.ablation.tokenizer {
                let tokenizer = table.entry("tokenizer").or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(tokenizer) = tokenizer {
                    tokenizer.insert("file".into(), Value::String(file.display().to_string()));
                }
            }
            let mut run = Run::from_table(table, &place)?;
            if let Some((_, settings)) = &teacher {
                run.teacher = Some(TeacherSettings::of(settings.clone(), &place)?);
            }
            if Stage::of(run.objective) != *stage {
                let reason = format!("its objective is `{}`, which is not of {}", run.objective, stage.name());
                return Err(TrainError::run(place, reason));
            }
            let teacher = teacher.and_then(|(run, _)| run);
            runs.push(self.plan(run, *stage, runs.last().copied(), teacher)?);
        }
        Ok(runs)
    }

    /// The fine-tuned model of an earlier row.
    fn cell_of(&self, name: &str, seed: u64) -> Option<usize> {
        let cell = self.cells.iter().find(|cell| cell.seed == seed && self.ablation.rows[cell.row].name == *name);
        cell.and_then(|cell| cell.runs.last().copied())
    }

    fn changes(&self, row: &Row, stage: Stage, used: bool) -> Vec<String> {
        let mut changes = self.ablation.set.of(stage).to_vec();
        if let (Some(uni_modal), Stage::Finetune) = (row.uni_modal, stage) {
            let (text, image) = if uni_modal.modality == Variant::Image { (1, 0) } else { (0, 1) };
            changes.push(format!("training.without_text={text}"));
            changes.push(format!("training.without_image={image}"));
        }
        if used {
            changes.extend_from_slice(row.set.of(stage));
        }
        changes
    }

    /// The index of a run, which is added where there is none like it.
    fn plan(
        &mut self,
        mut run: Run,
        stage: Stage,
        previous: Option<usize>,
        teacher: Option<usize>,
    ) -> Result<usize, TrainError> {
        let config = run.model.config(1)?;
        if let Some(previous) = previous.map(|previous| &self.runs[previous]) {
            if !fits(&previous.config, &config) {
                let reason = format!("{} has other dimensions than {}", stage.name(), previous.stage.name());
                return Err(TrainError::run("model", reason));
            }
            start_from(&mut run, &config, previous.name.clone().into());
        }
        if let (Some(settings), Some(teacher)) = (&mut run.teacher, teacher) {
            TeacherSettings::check_fits(&self.runs[teacher].config, &config)?;
            settings.checkpoint = self.runs[teacher].name.clone().into();
        }
        let text = serde_json::Value::Object(run.decisive()).to_string();
        let name = format!("{}-{}", stage.name(), &sha256(text.as_bytes())[..DIGITS]);
        if let Some(known) = self.runs.iter().position(|known| known.name == name) {
            return Ok(known);
        }
        let folder = self.ablation.output.join("runs");
        run.output = folder.join(&name);
        let best = |run: usize| folder.join(&self.runs[run].name).join(BEST);
        run.model.checkpoint = previous.map(best);
        if let (Some(settings), Some(teacher)) = (&mut run.teacher, teacher) {
            settings.checkpoint = best(teacher);
        }
        self.runs.push(PlannedRun { name, stage, run, previous, teacher, config });
        Ok(self.runs.len() - 1)
    }

    /// Rows are measured on the same products, or their measures say nothing about each other.
    fn check_comparable(&self) -> Result<(), TrainError> {
        let measured = |cell: &Cell| cell.runs.last().map(|&run| &self.runs[run].run);
        let Some(first) = self.cells.first().and_then(measured) else { return Ok(()) };
        for cell in &self.cells {
            let Some(run) = measured(cell) else { continue };
            let same = first.objective == run.objective && measured_on(first) == measured_on(run);
            if !same {
                let place = format!("row `{}`", self.ablation.rows[cell.row].name);
                let reason = "its task, validation products or pairs are not those of the first row";
                return Err(TrainError::run(place, reason));
            }
        }
        Ok(())
    }
}

/// What decides which questions a task is measured on, besides the products.
fn measured_on(run: &Run) -> impl PartialEq {
    let mut keys = run.decisive();
    keys.retain(|key, _| ["data", "match", "alignment", "classification"].contains(&key.as_str()));
    for table in keys.values_mut().filter_map(|table| table.as_object_mut()) {
        table.retain(|key, _| !TRAINED_ON.contains(&key.as_str()));
    }
    keys
}

/// Whether weights of one model are weights of another.
fn fits(before: &Config, config: &Config) -> bool {
    let dropout = (config.hidden_dropout_prob, config.attention_probs_dropout_prob);
    let before = Config {
        hidden_dropout_prob: dropout.0,
        attention_probs_dropout_prob: dropout.1,
        attention: config.attention,
        ..before.clone()
    };
    before == *config
}

/// Makes a run start from a checkpoint, whose dimensions are then written out.
fn start_from(run: &mut Run, config: &Config, checkpoint: PathBuf) {
    let model = &mut run.model;
    (model.checkpoint, model.config, model.weights) = (Some(checkpoint), None, None);
    model.image_size = Some(config.image_size);
    model.patch_size = Some(config.patch_size);
    model.patchify = Some(config.patchify);
    model.hidden_size = Some(config.hidden_size);
    model.num_hidden_layers = Some(config.num_hidden_layers);
    model.num_attention_heads = Some(config.num_attention_heads);
    model.intermediate_size = Some(config.intermediate_size);
    model.max_position_embeddings = Some(config.max_position_embeddings);
    model.hidden_dropout_prob = Some(config.hidden_dropout_prob);
    model.attention_probs_dropout_prob = Some(config.attention_probs_dropout_prob);
}
