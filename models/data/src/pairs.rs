//! Pairs of products, by their ids.

use std::path::Path;

use crate::cell::Cell;
use crate::error::{BadRow, ReadError, codes, row_error};
use crate::product::id_text;
use crate::table::{Selection, Table};
use crate::tags::truth;

/// Two products to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Number of its row, the first being 1.
    pub row: u64,
    /// Id of the first product.
    pub source: String,
    /// Id of the second product.
    pub target: String,
    /// Whether they are the same, where a label column was asked for.
    pub label: Option<bool>,
}

/// How pairs lie in a file.
#[derive(Debug, Clone)]
pub struct PairOptions {
    /// Column of the first product's id.
    pub source_column: String,
    /// Column of the second product's id.
    pub target_column: String,
    /// Column of the label; a row without a label is then a bad row.
    pub label_column: Option<String>,
}

impl Default for PairOptions {
    fn default() -> Self {
        Self { source_column: "source".to_owned(), target_column: "target".to_owned(), label_column: None }
    }
}

/// The pairs of a file, in its order.
pub struct Pairs {
    table: Table,
    options: PairOptions,
    source: usize,
    target: usize,
    label: Option<usize>,
}

impl std::fmt::Debug for Pairs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pairs").field("path", &self.table.path).field("options", &self.options).finish_non_exhaustive()
    }
}

impl Pairs {
    /// Opens a `.parquet`, `.jsonl` (`.ndjson`), `.csv` or `.tsv` file.
    ///
    /// # Errors
    /// See [`ReadError`]; a missing column is reported with the columns there are.
    pub fn open(path: impl AsRef<Path>, options: &PairOptions) -> Result<Self, ReadError> {
        let ids = vec![options.source_column.clone(), options.target_column.clone()];
        let only = ids.iter().cloned().chain(options.label_column.clone()).collect();
        let table = Table::open(path.as_ref(), &Selection { only: Some(only), text: ids, ..Selection::default() })?;
        let source = table.require(&options.source_column)?;
        let target = table.require(&options.target_column)?;
        let label = options.label_column.as_deref().map(|label| table.require(label)).transpose()?;
        Ok(Self { table, options: options.clone(), source, target, label })
    }
}

impl Iterator for Pairs {
    type Item = Result<Pair, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.table.rows.next_row()? {
            Ok(record) => record,
            Err(bad) => return Some(Err(bad)),
        };
        let row = record.row;
        let mut cells = record.cells;
        let mut take = |position: usize| std::mem::replace(&mut cells[position], Cell::NULL);
        let mut id = |position: usize, column: &str| match id_text(take(position)) {
            Ok(Some(id)) => Ok(id),
            Ok(None) => Err(row_error(codes::MISSING_ID, format!("`{column}` is null or empty"))),
            Err(fault) => Err(row_error(fault.code(), fault.message(column))),
        };
        let source = id(self.source, &self.options.source_column);
        let target = id(self.target, &self.options.target_column);
        let label = self.label.map(|position| match take(position) {
            Cell::Value(value) => truth(&value),
            _ => None,
        });
        let pair = source.and_then(|source| {
            let target = target?;
            let label = match (label, &self.options.label_column) {
                (Some(None), Some(column)) => {
                    let message = format!("`{column}` is none of 0, 1, false, true");
                    return Err(row_error(codes::INVALID_LABEL, message));
                }
                (label, _) => label.flatten(),
            };
            Ok(Pair { row, source, target, label })
        });
        Some(pair.map_err(|error| BadRow { row, id: None, columns: Vec::new(), error }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_from_any_format_and_bad_ones_stay_alone() {
        let folder = tempfile::tempdir().unwrap();
        let jsonl = folder.path().join("a.jsonl");
        std::fs::write(
            &jsonl,
            "{\"source\": 1, \"target\": \"b\", \"same\": 1}\n{\"source\": null, \"target\": 2, \"same\": 0}\n\
             {\"source\": 1, \"target\": 2, \"same\": \"maybe\"}\n{\"source\": 3, \"target\": 4, \"same\": false}\n",
        )
        .unwrap();
        let options = PairOptions { label_column: Some("same".to_owned()), ..PairOptions::default() };
        let pairs: Vec<_> = Pairs::open(&jsonl, &options).unwrap().collect();
        let pair = |row, source: &str, target: &str, label| Pair {
            row,
            source: source.to_owned(),
            target: target.to_owned(),
            label,
        };
        assert_eq!(pairs[0], Ok(pair(1, "1", "b", Some(true))));
        assert_eq!(pairs[1].as_ref().unwrap_err().to_string(), "row 2: missing_id: `source` is null or empty");
        assert_eq!(pairs[2].as_ref().unwrap_err().error.code, "invalid_label");
        assert_eq!(pairs[3], Ok(pair(4, "3", "4", Some(false))));

        let csv = folder.path().join("a.csv");
        std::fs::write(&csv, "target,source\nb,a\n").unwrap();
        let pairs: Vec<_> = Pairs::open(&csv, &PairOptions::default()).unwrap().collect();
        assert_eq!(pairs, [Ok(pair(1, "a", "b", None))]);
        let error = Pairs::open(&csv, &options).unwrap_err().to_string();
        assert!(error.ends_with("a.csv: no column `same`; it has: `target`, `source`"), "{error}");
    }
}
