//! Arrow IPC, files and streams, batch by batch.
//!
//! Both are the same messages one after the other; a file has a mark before them and an index behind them that is not needed here.
//! As in Parquet, text is read as bytes and checked row by row.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{read_dictionary, read_record_batch};
use arrow_ipc::{MessageHeader, root_as_message};
use parquet::errors::ParquetError;

use crate::arrays::Reading;
use crate::cell::{Column, ColumnType, Record};
use crate::error::{BadRow, ReadError, codes};
use crate::guard;
use crate::table::{Rows, Selection, Table};

/// Bytes of a message's description; its data come on top.
const MAX_METADATA_BYTES: usize = 64 << 20;

/// Words of 4 bytes between the mark of a file and its first message.
const MAX_PADDING_WORDS: usize = 16;

/// Reads the schema and makes the rows ready. `path` names the input in messages.
pub(crate) fn open(path: &Path, input: Box<dyn Read + Send>, selection: &Selection) -> Result<Table, ReadError> {
    let mut messages = Messages { input, started: false, ended: false };
    let schema = messages
        .next()
        .and_then(|message| guard::reading(|| schema_of(message)))
        .map_err(|error| ReadError::broken(path, format!("not Arrow IPC, or cut short: {error}")))?;
    let names = schema.fields().iter().map(|field| field.name().clone()).collect();
    let (mut columns, mut readings, mut projection) = (Vec::new(), Vec::new(), Vec::new());
    for (position, field) in schema.fields().iter().enumerate() {
        let is_image = selection.image.as_deref() == Some(field.name());
        let is_text = selection.text.iter().any(|name| name == field.name());
        if !(is_image || is_text || selection.wants(field.name())) {
            continue;
        }
        let reading = match reading(field.data_type(), is_image) {
            Reading::Skipped if is_text => Reading::Text,
            Reading::Skipped => continue,
            reading => reading,
        };
        columns.push(Column { name: field.name().clone(), ty: column_type(reading, field.data_type()) });
        readings.push(reading);
        projection.push(position);
    }
    let fields: Vec<FieldRef> = schema.fields().iter().map(text_as_bytes).collect();
    let rows = ArrowRows {
        messages,
        schema: Arc::new(Schema::new(fields)),
        projection,
        readings,
        dictionaries: HashMap::new(),
        batch: None,
        damaged: None,
        row: 0,
    };
    Ok(Table { path: path.to_owned(), columns, names, len: None, rows: Box::new(rows) })
}

struct ArrowRows {
    messages: Messages,
    /// With bytes in the place of text.
    schema: SchemaRef,
    projection: Vec<usize>,
    /// How each projected column becomes cells.
    readings: Vec<Reading>,
    dictionaries: HashMap<i64, ArrayRef>,
    batch: Option<(Vec<ArrayRef>, usize, usize)>,
    /// Rows of a batch that cannot be decoded, and why.
    damaged: Option<(u64, String)>,
    row: u64,
}

impl Rows for ArrowRows {
    fn next_row(&mut self) -> Option<Result<Record, BadRow>> {
        loop {
            if let Some((left, reason)) = &mut self.damaged {
                if *left > 0 {
                    *left -= 1;
                    self.row += 1;
                    let message = format!("its record batch is damaged: {reason}");
                    return Some(Err(BadRow::unreadable(self.row, codes::UNREADABLE_ROW, message)));
                }
                self.damaged = None;
            }
            if let Some((arrays, position, rows)) = &mut self.batch {
                if *position < *rows {
                    let cells =
                        self.readings.iter().zip(arrays).map(|(reading, a)| reading.cell(a, *position)).collect();
                    *position += 1;
                    self.row += 1;
                    return Some(Ok(Record { row: self.row, cells }));
                }
                self.batch = None;
            }
            match self.messages.next() {
                Ok(None) => return None,
                Ok(Some(message)) => self.take(&message),
                Err(error) => {
                    self.messages.ended = true;
                    self.row += 1;
                    let message = format!("the input cannot be read from here on: {error}");
                    return Some(Err(BadRow::unreadable(self.row, codes::INPUT_LOST, message)));
                }
            }
        }
    }
}

impl ArrowRows {
    /// Takes in a message after the schema.
    fn take(&mut self, message: &Message) {
        // Known before the data are decoded, so that a damaged batch costs only its own rows.
        let mut rows = 0;
        let outcome = guard::reading(|| {
            let head = root_as_message(&message.metadata).map_err(general)?;
            let version = head.version();
            match head.header_type() {
                MessageHeader::DictionaryBatch => {
                    let batch = head.header_as_dictionary_batch().ok_or_else(|| general("an empty message"))?;
                    read_dictionary(&message.body, batch, &self.schema, &mut self.dictionaries, &version)?;
                    Ok(None)
                }
                MessageHeader::RecordBatch => {
                    let batch = head.header_as_record_batch().ok_or_else(|| general("an empty message"))?;
                    rows = u64::try_from(batch.length()).map_err(general)?;
                    let (schema, projection) = (self.schema.clone(), Some(&self.projection[..]));
                    let batch =
                        read_record_batch(&message.body, batch, schema, &self.dictionaries, projection, &version)?;
                    Ok(Some((expanded(&batch)?, batch.num_rows())))
                }
                // Tensors and whatever else may come are no rows.
                _ => Ok(None),
            }
        });
        match outcome {
            Ok(Some((arrays, rows))) => self.batch = Some((arrays, 0, rows)),
            Ok(None) => {}
            // The batches that need a damaged dictionary will say so.
            Err(error) => self.damaged = Some((rows, error.to_string())),
        }
    }
}

/// The columns, dictionaries looked up.
fn expanded(batch: &RecordBatch) -> Result<Vec<ArrayRef>, ParquetError> {
    let column = |array: &ArrayRef| match array.data_type() {
        DataType::Dictionary(_, value) => Ok(cast(array, value)?),
        _ => Ok(array.clone()),
    };
    batch.columns().iter().map(column).collect()
}

struct Message {
    metadata: Vec<u8>,
    body: Buffer,
}

/// The messages of an input, up to the mark of its end.
struct Messages {
    input: Box<dyn Read + Send>,
    started: bool,
    /// At the mark, or where nothing can be read any more.
    ended: bool,
}

impl Messages {
    /// The next message; `None` at the end mark. An input without one was cut short.
    fn next(&mut self) -> Result<Option<Message>, ParquetError> {
        if self.ended {
            return Ok(None);
        }
        let mut word = self.word()?;
        if !self.started && &word == b"ARRO" {
            self.word()?;
            // Writers fill up to 8 or to 64 bytes.
            for _ in 0..MAX_PADDING_WORDS {
                word = self.word()?;
                if word != [0; 4] {
                    break;
                }
            }
        }
        self.started = true;
        // Before version 0.15 the length came without this mark.
        if word == [0xff; 4] {
            word = self.word()?;
        }
        let length = usize::try_from(i32::from_le_bytes(word)).map_err(general)?;
        if length == 0 {
            self.ended = true;
            return Ok(None);
        }
        if length > MAX_METADATA_BYTES {
            return Err(general(format!("a message of {length} bytes without its data")));
        }
        let metadata = self.bytes(length as u64)?;
        let length = root_as_message(&metadata).map_err(general)?.bodyLength();
        let body = self.bytes(u64::try_from(length).map_err(general)?)?;
        Ok(Some(Message { metadata, body: Buffer::from_vec(body) }))
    }

    fn word(&mut self) -> Result<[u8; 4], ParquetError> {
        let mut word = [0; 4];
        self.input.read_exact(&mut word).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => general("it ends without the mark of its end"),
            _ => general(error),
        })?;
        Ok(word)
    }

    /// So many bytes, which are not believed to be there before they are.
    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, ParquetError> {
        let mut bytes = Vec::new();
        self.input.by_ref().take(length).read_to_end(&mut bytes).map_err(general)?;
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(general("it ends in the middle of a message")) }
    }
}

fn general(reason: impl ToString) -> ParquetError {
    ParquetError::General(reason.to_string())
}

fn schema_of(message: Option<Message>) -> Result<Schema, ParquetError> {
    let message = message.ok_or_else(|| general("it is empty"))?;
    let head = root_as_message(&message.metadata).map_err(general)?;
    let schema = head.header_as_schema().ok_or_else(|| general("it does not begin with a schema"))?;
    Ok(try_fb_to_schema(schema)?)
}

/// How a column is read.
fn reading(ty: &DataType, is_image: bool) -> Reading {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Reading::Text,
        DataType::Dictionary(_, value) => reading(value, is_image),
        _ if is_raw(ty) && is_image => Reading::Bytes,
        DataType::Struct(fields)
            if is_image && fields.iter().any(|f| matches!(f.name().as_str(), "bytes" | "path")) =>
        {
            Reading::Image
        }
        _ if has_raw(ty) => Reading::Skipped,
        _ => Reading::Value,
    }
}

/// What its values are then.
fn column_type(reading: Reading, ty: &DataType) -> ColumnType {
    if reading != Reading::Value {
        return ColumnType::Text;
    }
    match ty {
        DataType::Dictionary(_, value) => column_type(reading, value),
        DataType::Boolean => ColumnType::Bool,
        // Of 64 bits without a sign, some values are none of the output's integers.
        ty if ty.is_integer() && *ty != DataType::UInt64 => ColumnType::Int,
        DataType::Float32 | DataType::Float64 => ColumnType::Float,
        ty if ty.is_nested() => ColumnType::Json,
        _ => ColumnType::Text,
    }
}

fn is_raw(ty: &DataType) -> bool {
    matches!(ty, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

fn has_raw(ty: &DataType) -> bool {
    match ty {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            has_raw(item.data_type())
        }
        DataType::Map(entry, _) => has_raw(entry.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_raw(field.data_type())),
        ty => is_raw(ty),
    }
}

/// The same field without saying that any of its bytes are text.
fn text_as_bytes(field: &FieldRef) -> FieldRef {
    let ty = match field.data_type() {
        DataType::Dictionary(key, value) => DataType::Dictionary(key.clone(), Box::new(bytes_type(value))),
        ty => bytes_type(ty),
    };
    Arc::new(Field::clone(field).with_data_type(ty))
}

fn bytes_type(ty: &DataType) -> DataType {
    match ty {
        DataType::Utf8 => DataType::Binary,
        DataType::LargeUtf8 => DataType::LargeBinary,
        DataType::Utf8View => DataType::BinaryView,
        DataType::List(item) => DataType::List(nested(item)),
        DataType::LargeList(item) => DataType::LargeList(nested(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(nested).collect()),
        ty => ty.clone(),
    }
}

/// Dictionaries within other types are written out by their values' own notation, and stay as they are.
fn nested(field: &FieldRef) -> FieldRef {
    Arc::new(Field::clone(field).with_data_type(bytes_type(field.data_type())))
}

#[cfg(test)]
mod tests;
