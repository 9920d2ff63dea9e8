//! A file of rows, whatever its format.

use std::path::{Path, PathBuf};

use crate::cell::{Column, Record};
use crate::error::{BadRow, ReadError};
use crate::{delimited, jsonl, parquet};

/// Yields the rows of one file in order. After a bad row comes the next one.
pub(crate) trait Rows: Send {
    /// The next row, `None` at the end.
    fn next_row(&mut self) -> Option<Result<Record, BadRow>>;
}

/// Which columns are wanted, and which of them holds images.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// The only columns to read; all where `None`.
    pub(crate) only: Option<Vec<String>>,
    /// The column whose bytes, if it has any, are an image.
    pub(crate) image: Option<String>,
    /// Columns that may be bytes without being declared text.
    pub(crate) text: Vec<String>,
    /// The columns of a CSV or TSV file without a header line.
    pub(crate) header: Option<Vec<String>>,
}

impl Selection {
    pub(crate) fn wants(&self, column: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|name| name == column))
    }
}

/// An open file.
pub(crate) struct Table {
    pub(crate) path: PathBuf,
    /// The selected columns, as the cells of its rows.
    pub(crate) columns: Vec<Column>,
    /// The names of all columns.
    pub(crate) names: Vec<String>,
    /// The number of rows, where the format tells it.
    pub(crate) len: Option<u64>,
    pub(crate) rows: Box<dyn Rows>,
}

impl Table {
    pub(crate) fn open(path: &Path, selection: &Selection) -> Result<Self, ReadError> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("parquet" | "jsonl" | "ndjson") if selection.header.is_some() => Err(ReadError::broken(
                path,
                "its columns have names of their own; only those of CSV and TSV can be given",
            )),
            Some("parquet") => parquet::open(path, selection),
            Some("jsonl" | "ndjson") => jsonl::open(path, selection),
            Some("csv") => delimited::open(path, delimited::Dialect::Csv, selection),
            Some("tsv") => delimited::open(path, delimited::Dialect::Tsv, selection),
            _ => Err(ReadError::Format { path: path.to_owned() }),
        }
    }

    /// Where a column is.
    pub(crate) fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == column)
    }

    /// Where a column that must be there is.
    pub(crate) fn require(&self, column: &str) -> Result<usize, ReadError> {
        self.position(column).ok_or_else(|| ReadError::MissingColumn {
            path: self.path.clone(),
            column: column.to_owned(),
            present: match self.names.as_slice() {
                [] => "no columns".to_owned(),
                all => all.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            },
        })
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// All rows of a file with the given content; bad rows as `row: code`.
    pub(crate) fn read(name: &str, content: impl AsRef<[u8]>) -> Vec<Result<Record, String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        rows(Table::open(&path, &Selection::default()).unwrap())
    }

    pub(crate) fn rows(mut table: Table) -> Vec<Result<Record, String>> {
        std::iter::from_fn(|| table.rows.next_row())
            .map(|row| row.map_err(|bad| format!("{}: {}", bad.row, bad.error.code)))
            .collect()
    }
}
