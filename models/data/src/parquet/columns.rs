//! Columns by the types of a Parquet schema.

use parquet::basic::{ConvertedType, LogicalType, Type as PhysicalType};
use parquet::schema::types::Type;

use super::is_text;
use crate::arrays::Reading;
use crate::cell::ColumnType;

/// How a column of the file is read.
pub(super) fn reading(field: &Type, is_image: bool) -> Reading {
    if field.is_primitive() {
        return match field.get_physical_type() {
            _ if is_text(field) => Reading::Text,
            PhysicalType::BYTE_ARRAY | PhysicalType::FIXED_LEN_BYTE_ARRAY if is_raw(field) && is_image => {
                Reading::Bytes
            }
            _ if is_raw(field) => Reading::Skipped,
            _ => Reading::Value,
        };
    }
    if is_image && field.get_fields().iter().any(|part| matches!(part.name(), "bytes" | "path")) {
        return Reading::Image;
    }
    if has_raw(field) { Reading::Skipped } else { Reading::Value }
}

/// What its values are then.
pub(super) fn column_type(reading: Reading, field: &Type) -> ColumnType {
    match reading {
        Reading::Text | Reading::Bytes | Reading::Image | Reading::Skipped => ColumnType::Text,
        Reading::Value if !field.is_primitive() => ColumnType::Json,
        Reading::Value => {
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
