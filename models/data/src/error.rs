//! What can be wrong with a file, and with one row of it.

use std::path::{Path, PathBuf};

use mbsd_spec::row::RowError;
use serde_json::Value;

/// A file no row of which can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its name does not tell its format.
    #[error("{}: the format is told by the extension: use .parquet, .arrow, .jsonl, .csv or .tsv, text also with .gz or .zst", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// It is not what its extension says.
    #[error("{}: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A column is not there.
    #[error("{}: no column `{column}`; it has: {present}", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column that was looked for.
        column: String,
        /// The columns there are.
        present: String,
    },
    /// The folder of the images cannot be used.
    #[error("the image folder {} cannot be used", path.display())]
    ImageFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ReadError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn broken(path: &Path, reason: impl Into<String>) -> Self {
        Self::Broken { path: path.to_owned(), reason: reason.into() }
    }
}

/// A row that cannot be used, and as much of it as is known.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("row {row}: {error}")]
pub struct BadRow {
    /// Number of the row, the first being 1.
    pub row: u64,
    /// The product, where its id could be read.
    pub id: Option<String>,
    /// The further columns, as in a good row; empty where the row could not be taken apart.
    pub columns: Vec<Value>,
    /// What is wrong.
    pub error: RowError,
}

impl BadRow {
    /// Whether this is no row but the news that the rows from here on cannot be had: a file that was cut or changed while it was read, that
    /// is gone, or whose compressed data are damaged. No row follows it.
    pub fn is_input_lost(&self) -> bool {
        self.error.code == codes::INPUT_LOST
    }

    /// The row, for readers that need all of an input.
    ///
    /// # Errors
    /// [`ReadError::Broken`] where [`BadRow::is_input_lost`].
    pub fn or_input_lost(self, path: &Path) -> Result<Self, ReadError> {
        if self.is_input_lost() {
            return Err(ReadError::broken(path, format!("row {}: {}", self.row, self.error.message)));
        }
        Ok(self)
    }

    /// A row of which nothing is known but its number.
    pub(crate) fn unreadable(row: u64, code: &'static str, message: impl Into<String>) -> Self {
        Self { row, id: None, columns: Vec::new(), error: row_error(code, message) }
    }
}

/// The codes of rows refused by this crate.
pub(crate) mod codes {
    /// A text field that is not UTF-8.
    pub(crate) const INVALID_UTF8: &str = "invalid_utf8";
    /// A line that is not JSON, or not an object.
    pub(crate) const INVALID_JSON: &str = "invalid_json";
    /// A line with more or fewer fields than the header.
    pub(crate) const FIELD_COUNT: &str = "field_count";
    /// A line over the size limit.
    pub(crate) const ROW_TOO_LARGE: &str = "row_too_large";
    /// A part of a Parquet file that cannot be decoded.
    pub(crate) const UNREADABLE_ROW: &str = "unreadable_row";
    /// The rows from here on cannot be had.
    pub(crate) const INPUT_LOST: &str = "input_lost";
    /// A row without an id.
    pub(crate) const MISSING_ID: &str = "missing_id";
    /// An id that an earlier row has.
    pub(crate) const DUPLICATE_ID: &str = "duplicate_id";
    /// A field of another type than its column needs.
    pub(crate) const WRONG_TYPE: &str = "wrong_type";
    /// An image file that is not there.
    pub(crate) const IMAGE_MISSING: &str = "image_missing";
    /// An image file that cannot be read.
    pub(crate) const IMAGE_UNREADABLE: &str = "image_unreadable";
    /// An image path that leads out of the image folder, or is no path.
    pub(crate) const IMAGE_PATH_REFUSED: &str = "image_path_refused";
    /// An image file over the size limit.
    pub(crate) const IMAGE_TOO_LARGE: &str = "image_too_large";
    /// A label that is neither yes nor no.
    pub(crate) const INVALID_LABEL: &str = "invalid_label";
}

pub(crate) fn row_error(code: &'static str, message: impl Into<String>) -> RowError {
    RowError::new(code, message)
}
