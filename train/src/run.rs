//! A run as one TOML file: read, changed by `--set`, checked whole before anything starts. `docs/training.md`
//! documents every key.

mod check;
mod decisive;
mod objective;
mod overrides;
mod settings;
mod training;

use std::path::Path;

pub(crate) use decisive::Difference;
pub use objective::{
    AlignmentHead, AlignmentSettings, ClassificationSettings, MatchSettings, Objective, Recipe, Stage1Settings,
    Stage2Settings, TeacherSettings,
};
pub use settings::{DataSettings, IdSource, ModelSettings, Run, TokenizerSettings};
pub use training::{ArithmeticName, OptimizerName, OptimizerSettings, TrainingSettings};

use serde::de::DeserializeOwned;

use crate::TrainError;

impl Run {
    /// Reads a run file, applies `key=value` changes (`optimizer.learning_rate=3e-4`), replaces `${NAME}` in
    /// strings by the environment, and checks everything.
    ///
    /// # Errors
    /// [`TrainError::Io`] and [`TrainError::Run`].
    pub fn from_file(path: &Path, changes: &[String]) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(TrainError::io("read", path))?;
        Self::from_toml(&text, &path.display().to_string(), changes)
    }

    /// As [`Run::from_file`], for a text; `place` is what errors call it.
    ///
    /// # Errors
    /// [`TrainError::Run`].
    pub fn from_toml(text: &str, place: &str, changes: &[String]) -> Result<Self, TrainError> {
        Self::from_table(table(text, place, changes)?, place)
    }

    /// As [`Run::from_toml`], for what [`table`] made of a text.
    pub(crate) fn from_table(table: toml::Table, place: &str) -> Result<Self, TrainError> {
        let run: Self = from_table(table, place)?;
        run.check()?;
        Ok(run)
    }
}

/// The table of a TOML text with `key=value` changes, its environment variables not yet replaced.
pub(crate) fn table(text: &str, place: &str, changes: &[String]) -> Result<toml::Table, TrainError> {
    let mut table: toml::Table = text.parse().map_err(failed(place))?;
    for change in changes {
        overrides::set(&mut table, change)?;
    }
    Ok(table)
}

/// Replaces `${NAME}` in strings by the environment and reads what the table holds.
pub(crate) fn from_table<T: DeserializeOwned>(mut table: toml::Table, place: &str) -> Result<T, TrainError> {
    overrides::expand_environment(&mut table)?;
    table.try_into().map_err(failed(place))
}

fn failed(place: &str) -> impl Fn(toml::de::Error) -> TrainError {
    move |error| TrainError::run(place, error.to_string().trim_end())
}
