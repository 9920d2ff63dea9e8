//! Rows of any columns, by name.

use std::path::Path;

use serde_json::Value;

use crate::cell::Cell;
use crate::error::{BadRow, ReadError, codes};
use crate::table::{Selection, Table};

/// Which columns to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldOptions {
    /// Columns that must be there.
    pub required: Vec<String>,
    /// Columns that a file may lack; their values are then null.
    pub optional: Vec<String>,
    /// The columns of a CSV or TSV file without a header line, from left to right.
    pub header: Option<Vec<String>>,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldRow {
    /// Number of the row, the first being 1.
    pub row: u64,
    /// The required columns, then the optional ones, in the order they were asked for.
    pub values: Vec<Value>,
}

/// The rows of a file, in its order. Embedded images and other bytes are not decoded.
pub struct Fields {
    table: Table,
    positions: Vec<Option<usize>>,
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fields").field("path", &self.table.path).finish_non_exhaustive()
    }
}

impl Fields {
    /// Opens an input as [`crate::Products::open`] does.
    ///
    /// # Errors
    /// See [`ReadError`]; a missing column is reported with the columns there are.
    pub fn open(path: impl AsRef<Path>, options: &FieldOptions) -> Result<Self, ReadError> {
        let names: Vec<String> = options.required.iter().chain(&options.optional).cloned().collect();
        let selection =
            Selection { only: Some(names.clone()), text: names, header: options.header.clone(), image: None };
        let table = Table::open(path.as_ref(), &selection)?;
        let required = options.required.iter().map(|name| table.require(name).map(Some));
        let optional = options.optional.iter().map(|name| Ok(table.position(name)));
        let positions = required.chain(optional).collect::<Result<_, ReadError>>()?;
        Ok(Self { table, positions })
    }

    /// Whether the file has the column that was asked for at this place.
    pub fn has(&self, place: usize) -> bool {
        self.positions.get(place).is_some_and(Option::is_some)
    }

    /// That a column is there after all.
    ///
    /// # Errors
    /// [`ReadError::MissingColumn`] with the columns there are.
    pub fn require(&self, column: &str) -> Result<(), ReadError> {
        self.table.require(column).map(drop)
    }

    /// The number of rows, where the format tells it beforehand (not for CSV and TSV).
    pub fn row_count(&self) -> Option<u64> {
        self.table.len
    }
}

impl Iterator for Fields {
    type Item = Result<FieldRow, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.table.rows.next_row()? {
            Ok(record) => record,
            Err(bad) => return Some(Err(bad)),
        };
        let mut values = Vec::with_capacity(self.positions.len());
        for position in &self.positions {
            values.push(match position.map(|position| &record.cells[position]) {
                Some(Cell::Value(value)) => value.clone(),
                Some(Cell::InvalidUtf8) => {
                    let name = position.map_or("", |position| &self.table.columns[position].name);
                    let message = format!("`{name}` is not valid UTF-8");
                    return Some(Err(BadRow::unreadable(record.row, codes::INVALID_UTF8, message)));
                }
                _ => Value::Null,
            });
        }
        Some(Ok(FieldRow { row: record.row, values }))
    }
}

/// The texts of a value: itself, or the items of a list; numbers and booleans as JSON writes them. Null and blank
/// ones are left out.
pub fn texts(value: &Value) -> Vec<String> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    };
    let all = match value {
        Value::Array(items) => items.iter().filter_map(one).collect(),
        value => one(value).into_iter().collect::<Vec<_>>(),
    };
    all.into_iter().filter(|text| !text.is_empty()).collect()
}

/// A count: an integer from 0 on, as a number or as text; null and blank text are 0. `None` for anything else.
pub fn integer(value: &Value) -> Option<u64> {
    match value {
        Value::Null => Some(0),
        Value::Number(number) => number
            .as_u64()
            .or_else(|| number.as_f64().filter(|n| n.fract() == 0.0 && (0.0..9e15).contains(n)).map(|n| n as u64)),
        Value::String(text) if text.trim().is_empty() => Some(0),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(required: &[&str], optional: &[&str]) -> FieldOptions {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        FieldOptions { required: owned(required), optional: owned(optional), header: None }
    }

    #[test]
    fn columns_come_in_the_order_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, b"a,b,c\n1,2,3\n4,5\n\xff,8,9\n6,7,8\n").unwrap();
        let fields = Fields::open(&path, &options(&["c", "a"], &["none", "a"])).unwrap();
        assert!(fields.has(3) && !fields.has(2) && !fields.has(9));
        let rows: Vec<_> = fields.map(|row| row.map_err(|bad| bad.to_string())).collect();
        assert_eq!(rows[0], Ok(FieldRow { row: 1, values: vec![json!("3"), json!("1"), Value::Null, json!("1")] }));
        assert!(rows[1].as_ref().unwrap_err().starts_with("row 2: field_count"), "{rows:?}");
        assert_eq!(rows[2], Err("row 3: invalid_utf8: `a` is not valid UTF-8".to_owned()));
        assert_eq!(rows[3].as_ref().unwrap().row, 4);
        let error = Fields::open(&path, &options(&["d"], &[])).unwrap_err().to_string();
        assert!(error.ends_with("no column `d`; it has: `a`, `b`, `c`"), "{error}");
    }

    #[test]
    fn values_are_texts_and_counts() {
        assert_eq!(texts(&json!(" Navy Blue ")), ["Navy Blue"]);
        assert_eq!(texts(&json!(["red", null, "", 3, true])), ["red", "3", "true"]);
        assert!(texts(&json!(" ")).is_empty() && texts(&Value::Null).is_empty() && texts(&json!({"a": 1})).is_empty());
        for (value, expected) in [
            (json!(3), Some(3)),
            (json!(3.0), Some(3)),
            (json!(" 12 "), Some(12)),
            (json!(""), Some(0)),
            (Value::Null, Some(0)),
            (json!(-1), None),
            (json!(1.5), None),
            (json!("many"), None),
            (json!(true), None),
        ] {
            assert_eq!(integer(&value), expected, "{value}");
        }
    }
}
