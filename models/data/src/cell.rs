//! Columns and cells as the readers of all formats hand them on.

use serde_json::Value;

/// A named column of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in the file.
    pub name: String,
    /// What its values are.
    pub ty: ColumnType,
}

/// What the values of a column are. Any of them may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// `true` or `false`.
    Bool,
    /// Integers.
    Int,
    /// Numbers, not all of them integers.
    Float,
    /// Text; dates, decimals and the like in their usual notation too.
    Text,
    /// Lists, objects, or values of several types.
    Json,
}

impl ColumnType {
    /// The type of one JSON value, `None` for null.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Bool(_) => Some(Self::Bool),
            Value::Number(number) if number.is_i64() => Some(Self::Int),
            Value::Number(_) => Some(Self::Float),
            Value::String(_) => Some(Self::Text),
            Value::Array(_) | Value::Object(_) => Some(Self::Json),
        }
    }

    /// The type that holds the values of both.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Int, Self::Float) | (Self::Float, Self::Int) => Self::Float,
            _ => Self::Json,
        }
    }
}

/// One field of one row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Anything but bytes. Text is valid UTF-8.
    Value(Value),
    /// Bytes that are not declared to be text.
    Bytes(Vec<u8>),
    /// The `{bytes, path}` struct in which Parquet data sets embed images.
    Image {
        /// The encoded image.
        bytes: Option<Vec<u8>>,
        /// The file it came from, or where it is if it has no bytes.
        path: Option<String>,
    },
    /// Declared to be text, but not UTF-8.
    InvalidUtf8,
}

impl Cell {
    pub(crate) const NULL: Self = Self::Value(Value::Null);

    /// Text, if these bytes are UTF-8.
    pub(crate) fn text(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Value(Value::String(text.to_owned())),
            Err(_) => Self::InvalidUtf8,
        }
    }
}

/// One row: its number, and a cell for every column of the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// Number of the row, the first being 1; header and blank lines are not counted.
    pub(crate) row: u64,
    /// As many cells as the table has columns.
    pub(crate) cells: Vec<Cell>,
}
