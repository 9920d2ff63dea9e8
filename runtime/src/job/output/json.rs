//! JSON Lines: one object a row, keys in column order.

use std::fs::File;
use std::io::{BufWriter, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::{Failure, Field, FieldType, Format, OutputColumn};

pub(super) struct JsonFormat {
    columns: Vec<OutputColumn>,
    output: BufWriter<File>,
}

impl JsonFormat {
    pub(super) fn new(file: File, columns: &[OutputColumn]) -> Self {
        Self { columns: columns.to_vec(), output: BufWriter::with_capacity(1 << 16, file) }
    }
}

impl Format for JsonFormat {
    fn write(&mut self, row: &[Field]) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.output, &Row { columns: &self.columns, row })?;
        self.output.write_all(b"\n")?;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        Ok(self.output.flush()?)
    }
}

struct Row<'a> {
    columns: &'a [OutputColumn],
    row: &'a [Field],
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, field) in self.columns.iter().zip(self.row) {
            match field {
                Field::Null => map.serialize_entry(&column.name, &())?,
                Field::Value(value) => map.serialize_entry(&column.name, value)?,
                Field::Text(text) => map.serialize_entry(&column.name, text)?,
                Field::Score(score) => map.serialize_entry(&column.name, score)?,
                Field::Bool(yes) => map.serialize_entry(&column.name, yes)?,
                Field::Vector(values) => map.serialize_entry(&column.name, values)?,
                Field::Scores(scores) => {
                    let key = if let FieldType::Scores(key) = column.ty { key } else { "name" };
                    let items: Vec<Named<'_>> =
                        scores.iter().map(|(name, score)| Named { key, name, score: *score }).collect();
                    map.serialize_entry(&column.name, &items)?;
                }
            }
        }
        map.end()
    }
}

struct Named<'a> {
    key: &'static str,
    name: &'a str,
    score: f32,
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(self.key, self.name)?;
        map.serialize_entry("score", &self.score)?;
        map.end()
    }
}
