//! From Arrow arrays to cells.

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::datatypes::{UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::basic::{ConvertedType, LogicalType, Type as PhysicalType};
use parquet::schema::types::Type;
use serde_json::{Map, Number, Value};

use super::is_text;
use crate::cell::{Cell, ColumnType};

/// How a top-level column becomes cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
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
    pub(super) fn of(field: &Type, is_image: bool) -> Self {
        if field.is_primitive() {
            return match field.get_physical_type() {
                _ if is_text(field) => Self::Text,
                PhysicalType::BYTE_ARRAY | PhysicalType::FIXED_LEN_BYTE_ARRAY if is_raw(field) && is_image => {
                    Self::Bytes
                }
                _ if is_raw(field) => Self::Skipped,
                _ => Self::Value,
            };
        }
        if is_image && field.get_fields().iter().any(|part| matches!(part.name(), "bytes" | "path")) {
            return Self::Image;
        }
        if has_raw(field) { Self::Skipped } else { Self::Value }
    }

    pub(super) fn column_type(self, field: &Type) -> ColumnType {
        match self {
            Self::Text | Self::Bytes | Self::Image | Self::Skipped => ColumnType::Text,
            Self::Value if !field.is_primitive() => ColumnType::Json,
            Self::Value => {
                let info = field.get_basic_info();
                let plain = info.converted_type() == ConvertedType::NONE && info.logical_type_ref().is_none();
                match field.get_physical_type() {
                    PhysicalType::BOOLEAN => ColumnType::Bool,
                    PhysicalType::INT32 | PhysicalType::INT64 if plain || is_integer(field) => ColumnType::Int,
                    PhysicalType::FLOAT | PhysicalType::DOUBLE => ColumnType::Float,
                    _ => ColumnType::Text,
                }
            }
        }
    }

    pub(super) fn cell(self, array: &ArrayRef, row: usize) -> Cell {
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

/// Whether a leaf is bytes without a meaning of their own.
fn is_raw(leaf: &Type) -> bool {
    let info = leaf.get_basic_info();
    matches!(leaf.get_physical_type(), PhysicalType::BYTE_ARRAY | PhysicalType::FIXED_LEN_BYTE_ARRAY)
        && matches!(info.converted_type(), ConvertedType::NONE | ConvertedType::BSON)
        && matches!(info.logical_type_ref(), None | Some(LogicalType::Bson))
}

fn has_raw(field: &Type) -> bool {
    if field.is_primitive() { is_raw(field) } else { field.get_fields().iter().any(|part| has_raw(part)) }
}

fn is_integer(leaf: &Type) -> bool {
    use ConvertedType::{INT_8, INT_16, INT_32, INT_64, UINT_8, UINT_16, UINT_32};
    matches!(leaf.get_basic_info().logical_type_ref(), Some(LogicalType::Integer { .. }))
        && leaf.get_basic_info().converted_type() != ConvertedType::UINT_64
        || matches!(
            leaf.get_basic_info().converted_type(),
            INT_8 | INT_16 | INT_32 | INT_64 | UINT_8 | UINT_16 | UINT_32
        )
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
