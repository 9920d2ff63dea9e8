//! Files of rows, whatever their format.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::cell::{Column, Record};
use crate::error::{BadRow, ReadError};
use crate::format::Format;
use crate::inputs::input_files;
use crate::many::Watched;
use crate::{delimited, ipc, jsonl, many, parquet};

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
    /// Opens what an input names, see [`input_files`].
    pub(crate) fn open(input: &Path, selection: &Selection) -> Result<Self, ReadError> {
        let files = input_files(input)?;
        match files.as_slice() {
            [file] => Self::open_file(file, selection),
            _ => many::open(input, files, selection),
        }
    }

    /// Opens one file.
    pub(crate) fn open_file(path: &Path, selection: &Selection) -> Result<Self, ReadError> {
        let format = Format::of(path).ok_or_else(|| ReadError::Format { path: path.to_owned() })?;
        if selection.header.is_some() && !matches!(format, Format::Csv | Format::Tsv) {
            let reason = "its columns have names of their own; only those of CSV and TSV can be given";
            return Err(ReadError::broken(path, reason));
        }
        Watched::over(match format {
            Format::Parquet => parquet::open(path, selection)?,
            Format::Arrow => {
                let file = File::open(path).map_err(ReadError::io(path))?;
                ipc::open(path, Box::new(BufReader::with_capacity(1 << 16, file)), selection)?
            }
            Format::JsonLines => jsonl::open(path, selection)?,
            Format::Csv => delimited::open(path, delimited::Dialect::Csv, selection)?,
            Format::Tsv => delimited::open(path, delimited::Dialect::Tsv, selection)?,
        })
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
