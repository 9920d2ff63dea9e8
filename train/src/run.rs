//! A run as one TOML file: read, changed by `--set`, checked whole before anything starts. `docs/training.md`
//! documents every key.

mod overrides;
mod settings;

use std::path::Path;

pub use settings::{
    ClassificationSettings, DataSettings, MatchSettings, ModelSettings, OptimizerName, OptimizerSettings, Run,
    TokenizerSettings, TrainingSettings,
};

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
        let failed = |error: toml::de::Error| TrainError::run(place, error.to_string().trim_end());
        let mut table: toml::Table = text.parse().map_err(failed)?;
        for change in changes {
            overrides::set(&mut table, change)?;
        }
        overrides::expand_environment(&mut table)?;
        let run: Self = table.try_into().map_err(failed)?;
        run.check()?;
        Ok(run)
    }
}
