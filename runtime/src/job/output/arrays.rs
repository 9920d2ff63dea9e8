//! Rows as Arrow record batches.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, FixedSizeListBuilder, Float32Builder, Float64Builder, Int64Builder, ListBuilder,
    RecordBatch, StringBuilder, StructBuilder,
};
use arrow::datatypes::{DataType, Field as ArrowField, Fields, Schema};
use arrow::error::ArrowError;
use mbsd_data::ColumnType;
use serde_json::Value;

use super::{Field, FieldType, OutputColumn};

/// Rows of a table, to be taken as record batches.
pub(super) struct Rows {
    columns: Vec<OutputColumn>,
    schema: Arc<Schema>,
    rows: Vec<Vec<Field>>,
}

impl Rows {
    pub(super) fn new(columns: &[OutputColumn]) -> Self {
        let fields: Vec<ArrowField> =
            columns.iter().map(|column| ArrowField::new(&column.name, data_type(column.ty), true)).collect();
        Self { columns: columns.to_vec(), schema: Arc::new(Schema::new(fields)), rows: Vec::new() }
    }

    pub(super) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Adds a row, and says how many there are.
    pub(super) fn push(&mut self, row: &[Field]) -> usize {
        self.rows.push(row.to_vec());
        self.rows.len()
    }

    /// Takes the rows out.
    pub(super) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let arrays = (self.columns.iter().enumerate())
            .map(|(position, column)| array(column.ty, self.rows.iter().map(|row| &row[position])))
            .collect();
        self.rows.clear();
        RecordBatch::try_new(self.schema.clone(), arrays)
    }
}

fn data_type(ty: FieldType) -> DataType {
    match ty {
        FieldType::Input(ColumnType::Bool) | FieldType::Bool => DataType::Boolean,
        FieldType::Input(ColumnType::Int) => DataType::Int64,
        FieldType::Input(ColumnType::Float) => DataType::Float64,
        FieldType::Input(ColumnType::Text | ColumnType::Json) | FieldType::Text => DataType::Utf8,
        FieldType::Score => DataType::Float32,
        FieldType::Scores(key) => DataType::new_list(DataType::Struct(score_fields(key)), true),
        FieldType::Vector(width) => DataType::new_fixed_size_list(DataType::Float32, width as i32, true),
    }
}

fn score_fields(key: &str) -> Fields {
    vec![ArrowField::new(key, DataType::Utf8, true), ArrowField::new("score", DataType::Float32, true)].into()
}

fn array<'a>(ty: FieldType, fields: impl Iterator<Item = &'a Field>) -> ArrayRef {
    match ty {
        FieldType::Input(ColumnType::Bool) | FieldType::Bool => {
            let mut builder = BooleanBuilder::new();
            fields.for_each(|field| {
                builder.append_option(match field {
                    Field::Bool(yes) => Some(*yes),
                    Field::Value(value) => value.as_bool(),
                    _ => None,
                });
            });
            Arc::new(builder.finish())
        }
        FieldType::Input(ColumnType::Int) => {
            let mut builder = Int64Builder::new();
            fields.for_each(|field| builder.append_option(input(field).and_then(Value::as_i64)));
            Arc::new(builder.finish())
        }
        FieldType::Input(ColumnType::Float) => {
            let mut builder = Float64Builder::new();
            fields.for_each(|field| builder.append_option(input(field).and_then(Value::as_f64)));
            Arc::new(builder.finish())
        }
        FieldType::Input(ColumnType::Text | ColumnType::Json) | FieldType::Text => {
            let mut builder = StringBuilder::new();
            fields.for_each(|field| match field {
                Field::Text(text) => builder.append_value(text),
                Field::Value(Value::Null) => builder.append_null(),
                // Text of a column that holds other things too stays JSON, so that `"1"` and `1` stay apart.
                Field::Value(Value::String(text)) if ty != FieldType::Input(ColumnType::Json) => {
                    builder.append_value(text);
                }
                Field::Value(value) => builder.append_value(value.to_string()),
                _ => builder.append_null(),
            });
            Arc::new(builder.finish())
        }
        FieldType::Score => {
            let mut builder = Float32Builder::new();
            fields.for_each(|field| {
                builder.append_option(if let Field::Score(score) = field { Some(*score) } else { None })
            });
            Arc::new(builder.finish())
        }
        FieldType::Scores(key) => scores(key, fields),
        FieldType::Vector(width) => {
            let mut builder = FixedSizeListBuilder::new(Float32Builder::new(), width as i32);
            fields.for_each(|field| match field {
                Field::Vector(values) if values.len() == width => {
                    builder.values().append_slice(values);
                    builder.append(true);
                }
                _ => {
                    builder.values().append_nulls(width);
                    builder.append(false);
                }
            });
            Arc::new(builder.finish())
        }
    }
}

fn scores<'a>(key: &str, fields: impl Iterator<Item = &'a Field>) -> ArrayRef {
    let mut builder = ListBuilder::new(StructBuilder::from_fields(score_fields(key), 0));
    for field in fields {
        if let Field::Scores(scores) = field {
            for (name, score) in scores {
                let item = builder.values();
                if let Some(names) = item.field_builder::<StringBuilder>(0) {
                    names.append_value(name);
                }
                if let Some(scores) = item.field_builder::<Float32Builder>(1) {
                    scores.append_value(*score);
                }
                item.append(true);
            }
        }
        builder.append(matches!(field, Field::Scores(_)));
    }
    Arc::new(builder.finish())
}

fn input(field: &Field) -> Option<&Value> {
    if let Field::Value(value) = field { Some(value) } else { None }
}
