//! Result files: JSON Lines and Parquet by extension, written under a temporary name until they are whole.

mod arrays;
mod json;
mod parquet;
mod stream;

use std::fs::File;
use std::path::{Path, PathBuf};

use mbsd_data::staged::{stage, sync_folder_of};
use mbsd_data::{ColumnType, reads};
use serde_json::Value;
use tempfile::TempPath;

use super::JobError;

pub(super) use stream::OutputStream;

/// What the values of an output column are. Any of them may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// As in the input.
    Input(ColumnType),
    /// Text.
    Text,
    /// A number from 0 to 1.
    Score,
    /// Yes or no.
    Bool,
    /// A list of names with scores; the name is under this key, `tag` or `label`.
    Scores(&'static str),
    /// So many float32 values.
    Vector(usize),
}

/// A named column of an output file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: FieldType,
}

impl OutputColumn {
    pub(super) fn new(name: impl Into<String>, ty: FieldType) -> Self {
        Self { name: name.into(), ty }
    }
}

/// A value of an output column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    Null,
    Value(Value),
    Text(String),
    Score(f32),
    Bool(bool),
    Scores(Vec<(String, f32)>),
    Vector(Vec<f32>),
}

impl Field {
    pub(super) fn text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.into()))
    }
}

/// Writes rows of a format.
trait Format: Send {
    fn write(&mut self, row: &[Field]) -> Result<(), Failure>;
    /// Writes what is held back, and flushes.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An output file being written. Dropped before it is finished, it leaves nothing behind.
pub struct OutputFile {
    format: Option<Box<dyn Format>>,
    staged: TempPath,
    destination: PathBuf,
    width: usize,
}

impl std::fmt::Debug for OutputFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutputFile").field("path", &self.destination).finish_non_exhaustive()
    }
}

impl OutputFile {
    /// Starts a `.jsonl` (`.ndjson`) or `.parquet` file.
    ///
    /// # Errors
    /// If the extension is another, the path is a folder or lies in one that cannot be written, or `inputs`, which may be folders or
    /// patterns, would read it.
    pub(super) fn create(path: &Path, columns: &[OutputColumn], inputs: &[&Path]) -> Result<Self, JobError> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        let is_parquet = match extension.as_deref() {
            Some("parquet") => true,
            Some("jsonl" | "ndjson") => false,
            _ => {
                let message = format!("--output {}: use .parquet or .jsonl", path.display());
                return Err(JobError::Setting(message));
            }
        };
        if path.is_dir() {
            return Err(JobError::Setting(format!("--output {} is a folder; name a file in it", path.display())));
        }
        if inputs.iter().any(|input| reads(input, path)) {
            let what = "is an input file as well, or would be read as one: write elsewhere";
            let message = format!("--output {} {what}", path.display());
            return Err(JobError::Setting(message));
        }
        let failed = failure(path);
        let (file, staged) = stage(path).map_err(|error| failed(error.into()))?;
        let format: Box<dyn Format> = if is_parquet {
            Box::new(parquet::ParquetFormat::new(file, columns).map_err(failed)?)
        } else {
            Box::new(json::JsonFormat::new(file, columns))
        };
        Ok(Self { format: Some(format), staged, destination: path.to_owned(), width: columns.len() })
    }

    /// Writes a row, one field a column.
    pub(super) fn write(&mut self, row: &[Field]) -> Result<(), JobError> {
        debug_assert_eq!(row.len(), self.width);
        match &mut self.format {
            Some(format) => format.write(row).map_err(failure(&self.destination)),
            None => Ok(()),
        }
    }

    /// Completes the file and gives it its name, in the place of an earlier one.
    pub(super) fn finish(mut self) -> Result<(), JobError> {
        let failed = failure(&self.destination);
        if let Some(format) = self.format.take() {
            format.finish().map_err(&failed)?;
        }
        // Without this, a machine that fails could be left with the name of a file and nothing in it.
        let synced = File::open(&self.staged).and_then(|file| file.sync_all());
        synced.map_err(|error| failed(error.into()))?;
        self.staged.persist(&self.destination).map_err(|error| failed(error.error.into()))?;
        sync_folder_of(&self.destination).map_err(|error| failed(error.into()))
    }
}

fn failure(path: &Path) -> impl Fn(Failure) -> JobError + use<> {
    let path = path.to_owned();
    move |source| JobError::Output { path: path.clone(), source }
}

#[cfg(test)]
mod tests;
