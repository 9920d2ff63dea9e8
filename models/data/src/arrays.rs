//! From Arrow arrays to cells.

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::datatypes::{UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Number, Value};

use crate::cell::Cell;

/// How a top-level column becomes cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Bytes that are to be text.
    Text,
    /// Bytes.
    Bytes,
    /// The struct of an embedded image.
    Image,
    /// Anything else.
    Value,
    /// Raw bytes that nobody asked for.
    Skipped,
}

impl Reading {
    pub(crate) fn cell(self, array: &ArrayRef, row: usize) -> Cell {
        if array.is_null(row) {
            return Cell::NULL;
        }
        match self {
            Self::Text => bytes(array, row).map_or(Cell::InvalidUtf8, Cell::text),
            Self::Bytes => bytes(array, row).map_or(Cell::NULL, |bytes| Cell::Bytes(bytes.to_vec())),
            Self::Image => image(array.as_struct(), row),
            Self::Value => value(array, row).map_or(Cell::InvalidUtf8, Cell::Value),
            Self::Skipped => Cell::NULL,
        }
    }
}

fn bytes(array: &ArrayRef, row: usize) -> Option<&[u8]> {
    Some(match array.data_type() {
        DataType::Binary => array.as_binary::<i32>().value(row),
        DataType::LargeBinary => array.as_binary::<i64>().value(row),
        DataType::BinaryView => array.as_binary_view().value(row),
        DataType::FixedSizeBinary(_) => array.as_fixed_size_binary().value(row),
        _ => return None,
    })
}

fn image(array: &StructArray, row: usize) -> Cell {
    let part = |name: &str| {
        let column = array.column_by_name(name)?;
        if column.is_null(row) { None } else { bytes(column, row) }
    };
    let path = match part("path").map(std::str::from_utf8) {
        Some(Err(_)) => return Cell::InvalidUtf8,
        Some(Ok(path)) => Some(path.to_owned()),
        None => None,
    };
    match part("bytes") {
        None if path.is_none() => Cell::NULL,
        bytes => Cell::Image { bytes: bytes.map(<[u8]>::to_vec), path },
    }
}

/// A value as JSON; `None` if it holds text that is not UTF-8. What JSON cannot hold (NaN, infinities) is null.
fn value(array: &ArrayRef, row: usize) -> Option<Value> {
    if array.is_null(row) {
        return Some(Value::Null);
    }
    macro_rules! number {
        ($ty:ty) => {
            Value::from(array.as_primitive::<$ty>().value(row))
        };
    }
    let list = |items: ArrayRef| (0..items.len()).map(|i| value(&items, i)).collect::<Option<Vec<_>>>();
    Some(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float32 => float(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            Value::String(std::str::from_utf8(bytes(array, row)?).ok()?.to_owned())
        }
        DataType::List(_) => Value::Array(list(array.as_list::<i32>().value(row))?),
        DataType::LargeList(_) => Value::Array(list(array.as_list::<i64>().value(row))?),
        DataType::Struct(_) => {
            let array = array.as_struct();
            let mut object = Map::new();
            for (name, column) in array.column_names().into_iter().zip(array.columns()) {
                object.insert(name.to_owned(), value(column, row)?);
            }
            Value::Object(object)
        }
        _ => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(array.as_ref(), &options).ok();
            formatter.and_then(|formatter| formatter.value(row).try_to_string().ok()).map_or(Value::Null, Value::String)
        }
    })
}

fn float(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}
