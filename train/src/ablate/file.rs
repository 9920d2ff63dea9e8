//! The ablation file: which runs, with what changes, from which seeds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mbsd_spec::Variant;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::run::{Objective, from_table, table};

/// A step on the way to a fine-tuned model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Masked tokens and patches.
    Stage1,
    /// Queries and products.
    Stage2,
    /// A task.
    Finetune,
}

impl Stage {
    /// Every stage, in the order in which a model goes through them.
    pub const ALL: [Self; 3] = [Self::Stage1, Self::Stage2, Self::Finetune];

    /// Its name in an ablation file and of its command.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stage1 => "stage1",
            Self::Stage2 => "stage2",
            Self::Finetune => "finetune",
        }
    }

    pub(super) fn of(objective: Objective) -> Self {
        match objective {
            Objective::Stage1 => Self::Stage1,
            Objective::Stage2 => Self::Stage2,
            _ => Self::Finetune,
        }
    }
}

/// `key=value` changes to run files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Changes {
    stage1: Vec<String>,
    stage2: Vec<String>,
    finetune: Vec<String>,
}

impl Changes {
    /// Those of a stage.
    pub fn of(&self, stage: Stage) -> &[String] {
        match stage {
            Stage::Stage1 => &self.stage1,
            Stage::Stage2 => &self.stage2,
            Stage::Finetune => &self.finetune,
        }
    }
}

/// Fine-tuned with a single modality, for the plot of Figure 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UniModal {
    /// The modality that stays, `text` or `image`; its rows alone are measured.
    pub modality: Variant,
    /// Whether stage 2 was run with SDMI.
    pub sdmi: bool,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What people read.
    pub name: String,
    /// What the paper has for it.
    pub paper: Option<String>,
    /// Name of the row that it is compared with; the first one by default.
    pub against: Option<String>,
    /// Name of an earlier row whose fine-tuned model of the same seed teaches this one.
    pub teacher: Option<String>,
    /// The stages it goes through, all by default; the last is `finetune`.
    #[serde(default = "all_stages")]
    pub stages: Vec<Stage>,
    /// Changes to the run files of its stages, after the common ones.
    #[serde(default)]
    pub set: Changes,
    /// Fine-tunes with one modality alone.
    pub uni_modal: Option<UniModal>,
}

fn all_stages() -> Vec<Stage> {
    Stage::ALL.to_vec()
}

/// An ablation study.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ablation {
    /// Folder of the runs and of the tables.
    pub output: PathBuf,
    /// Each row is trained with each.
    pub seeds: Vec<u64>,
    /// The tokenizer of all rows.
    pub tokenizer: Option<PathBuf>,
    stage1: Option<PathBuf>,
    stage2: Option<PathBuf>,
    finetune: Option<PathBuf>,
    /// Changes to the run files, for all rows.
    #[serde(default)]
    pub set: Changes,
    /// The rows.
    #[serde(rename = "row")]
    pub rows: Vec<Row>,
    /// The folder that holds the file.
    #[serde(skip)]
    folder: PathBuf,
}

impl Ablation {
    /// Reads an ablation file, applies `key=value` changes, replaces `${NAME}` in strings by the environment, and checks
    /// what can be checked without the run files.
    ///
    /// # Errors
    /// [`TrainError::Io`] and [`TrainError::Run`].
    pub fn from_file(path: &Path, changes: &[String]) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(TrainError::io("read", path))?;
        let place = path.display().to_string();
        let mut ablation: Self = from_table(table(&text, &place, changes)?, &place)?;
        ablation.folder = path.parent().map(Path::to_owned).unwrap_or_default();
        ablation.check()?;
        Ok(ablation)
    }

    /// The run file of a stage.
    pub fn file(&self, stage: Stage) -> Option<PathBuf> {
        let path = match stage {
            Stage::Stage1 => &self.stage1,
            Stage::Stage2 => &self.stage2,
            Stage::Finetune => &self.finetune,
        };
        path.as_ref().map(|path| self.folder.join(path))
    }

    fn check(&self) -> Result<(), TrainError> {
        let wrong = |place: &str, reason: String| Err(TrainError::run(place, reason));
        let seeds: BTreeSet<u64> = self.seeds.iter().copied().collect();
        if self.seeds.is_empty() || seeds.len() < self.seeds.len() {
            return wrong("seeds", "give at least one, and none twice".into());
        }
        if let Some(seed) = seeds.last().filter(|&&seed| i64::try_from(seed).is_err()) {
            return wrong("seeds", format!("{seed} is more than {}", i64::MAX));
        }
        let Some(first) = self.rows.first() else { return wrong("row", "there is no row".into()) };
        if first.uni_modal.is_some() {
            return wrong("row", "the first row is what others are compared with: it has no uni_modal".into());
        }
        Stage::ALL.into_iter().try_for_each(|stage| self.check_changes("set", stage, self.set.of(stage)))?;
        for (index, row) in self.rows.iter().enumerate() {
            let place = format!("row `{}`", row.name);
            if self.rows[..index].iter().any(|earlier| earlier.name == row.name) {
                return wrong(&place, "there are two of this name".into());
            }
            let earlier =
                |name: &String| self.rows[..index].iter().any(|row| row.name == *name && row.uni_modal.is_none());
            if let Some(against) = row.against.as_ref().filter(|name| !earlier(name)) {
                return wrong(&place, format!("there is no earlier row `{against}` with every modality to be against"));
            }
            let named = |name: &String| self.rows[..index].iter().any(|row| row.name == *name);
            if let Some(teacher) = row.teacher.as_ref().filter(|name| !named(name)) {
                return wrong(&place, format!("there is no earlier row `{teacher}` to be its teacher"));
            }
            if !row.stages.is_sorted_by(|a, b| a < b) || row.stages.last() != Some(&Stage::Finetune) {
                let reason = "stages are some of \"stage1\", \"stage2\", \"finetune\" in this order, with the last";
                return wrong(&place, reason.into());
            }
            for stage in Stage::ALL {
                let (used, name) = (row.stages.contains(&stage), stage.name());
                if used && self.file(stage).is_none() {
                    return wrong(&place, format!("it goes through {name}: give `{name}`, the run file of that"));
                }
                if !used && !row.set.of(stage).is_empty() {
                    return wrong(&place, format!("it does not go through {name}: leave out set.{name}"));
                }
                self.check_changes(&place, stage, row.set.of(stage))?;
            }
            if let Some(uni_modal) = row.uni_modal {
                if !matches!(uni_modal.modality, Variant::Text | Variant::Image) {
                    return wrong(&place, "uni_modal.modality is `text` or `image`".into());
                }
                if self.rows[..index].iter().any(|earlier| earlier.uni_modal == row.uni_modal) {
                    return wrong(&place, "another row has the same uni_modal".into());
                }
            }
        }
        Ok(())
    }

    /// What an ablation decides by itself cannot be changed.
    fn check_changes(&self, place: &str, stage: Stage, changes: &[String]) -> Result<(), TrainError> {
        for change in changes {
            let key = change.split('=').next().unwrap_or_default().trim();
            let reason = match key {
                "output" | "seed" => "it is given at the top of the ablation file",
                "objective" => "another run file decides it",
                "model" => "name single keys of it",
                "model.checkpoint" => "a stage starts from the one before; `model.weights` are weights to begin with",
                "teacher" => "name single keys of it",
                "teacher.checkpoint" => "a row's `teacher` is another row",
                "tokenizer.file" if self.tokenizer.is_some() => "`tokenizer` gives it to all rows",
                _ => continue,
            };
            return Err(TrainError::run(format!("{place}: {}: {change}", stage.name()), reason));
        }
        Ok(())
    }
}
