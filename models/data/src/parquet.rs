//! Parquet, streamed by batches of rows.
//!
//! Text is read as bytes and checked row by row: Arrow's own check would refuse a whole batch for one bad title. Row
//! groups are read one by one, so that a damaged one costs only its own rows.

mod columns;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{ConvertedType, LogicalType, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::schema::types::{SchemaDescriptor, Type};

use crate::arrays::Reading;
use crate::cell::{Column, Record};
use crate::error::{BadRow, ReadError, codes};
use crate::guard;
use crate::table::{Rows, Selection, Table};

/// Rows decoded at once. Each may carry an image, so this bounds memory.
const BATCH_ROWS: usize = 64;

/// Opens a file and reads its footer.
pub(crate) fn open(path: &Path, selection: &Selection) -> Result<Table, ReadError> {
    let file = File::open(path).map_err(ReadError::io(path))?;
    guard::reading(|| open_file(path, file, selection)).map_err(|error| {
        ReadError::broken(path, format!("not a Parquet file, or cut short: {error}; write or fetch it again"))
    })
}

fn open_file(path: &Path, file: File, selection: &Selection) -> Result<Table, ParquetError> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file)?;
    let schema = metadata.file_metadata().schema_descr();
    let fields = schema.root_schema().get_fields();
    let names = fields.iter().map(|field| field.name().to_owned()).collect();
    let mut columns = Vec::new();
    let mut readings = Vec::new();
    let mut roots = Vec::new();
    for (root, field) in fields.iter().enumerate() {
        let is_image = selection.image.as_deref() == Some(field.name());
        let is_text = selection.text.iter().any(|name| name == field.name());
        if !(is_image || is_text || selection.wants(field.name())) {
            continue;
        }
        let reading = match columns::reading(field, is_image) {
            Reading::Skipped if is_text => Reading::Text,
            Reading::Skipped => continue,
            reading => reading,
        };
        columns.push(Column { name: field.name().to_owned(), ty: columns::column_type(reading, field) });
        readings.push(reading);
        roots.push(root);
    }
    let (len, groups) = row_counts(&metadata)
        .ok_or_else(|| ParquetError::General("its row counts contradict each other".to_owned()))?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::try_new(Arc::new(text_as_bytes(metadata)?), options)?;
    let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
    let rows = ParquetRows { file, metadata, mask, readings, groups, next_group: 0, group: None, batch: None, row: 0 };
    Ok(Table { path: path.to_owned(), columns, names, len: Some(len), rows: Box::new(rows) })
}

/// Rows of the file and of each of its row groups, if they agree.
fn row_counts(metadata: &ParquetMetaData) -> Option<(u64, Vec<u64>)> {
    let len = u64::try_from(metadata.file_metadata().num_rows()).ok()?;
    let groups: Vec<u64> =
        metadata.row_groups().iter().map(|group| u64::try_from(group.num_rows()).ok()).collect::<Option<_>>()?;
    let sum = groups.iter().try_fold(0u64, |sum, rows| sum.checked_add(*rows))?;
    (sum == len).then_some((len, groups))
}

struct ParquetRows {
    file: File,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    /// How each projected column becomes cells.
    readings: Vec<Reading>,
    /// Rows of each row group.
    groups: Vec<u64>,
    next_group: usize,
    group: Option<Group>,
    batch: Option<(RecordBatch, usize)>,
    row: u64,
}

/// A row group being read.
struct Group {
    /// `None` once the group turned out to be damaged.
    reader: Option<ParquetRecordBatchReader>,
    /// Rows not yet handed on, decoded ones included.
    left: u64,
    /// What its undecodable rows are told.
    damage: String,
}

impl Rows for ParquetRows {
    fn next_row(&mut self) -> Option<Result<Record, BadRow>> {
        loop {
            if let Some((batch, position)) = &mut self.batch {
                if *position < batch.num_rows() {
                    let cells = (self.readings.iter().zip(batch.columns()))
                        .map(|(reading, array)| reading.cell(array, *position))
                        .collect();
                    *position += 1;
                    self.row += 1;
                    if let Some(group) = &mut self.group {
                        group.left = group.left.saturating_sub(1);
                    }
                    return Some(Ok(Record { row: self.row, cells }));
                }
                self.batch = None;
            }
            let Some(group) = &mut self.group else {
                let rows = *self.groups.get(self.next_group)?;
                let group = match self.open_group(self.next_group) {
                    Ok(reader) => Group { reader: Some(reader), left: rows, damage: String::new() },
                    Err(error) => Group { reader: None, left: rows, damage: error.to_string() },
                };
                self.group = Some(group);
                self.next_group += 1;
                continue;
            };
            let next = group.reader.as_mut().map(|reader| guard::reading(|| Ok(reader.next().transpose()?)));
            match next.unwrap_or(Ok(None)) {
                Ok(Some(batch)) => self.batch = Some((batch, 0)),
                Err(error) => {
                    group.damage = error.to_string();
                    group.reader = None;
                }
                Ok(None) if group.left > 0 => {
                    group.left -= 1;
                    self.row += 1;
                    let part = self.next_group;
                    let damage = if group.damage.is_empty() { "it ends early" } else { &group.damage };
                    let message = format!("row group {part} of the file is damaged: {damage}");
                    return Some(Err(BadRow::unreadable(self.row, codes::UNREADABLE_ROW, message)));
                }
                Ok(None) => self.group = None,
            }
        }
    }
}

impl ParquetRows {
    fn open_group(&self, group: usize) -> Result<ParquetRecordBatchReader, ParquetError> {
        guard::reading(|| {
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.try_clone()?, self.metadata.clone())
                .with_row_groups(vec![group])
                .with_projection(self.mask.clone())
                .with_batch_size(BATCH_ROWS)
                .build()
        })
    }
}

/// The same file described without saying that any of its bytes are text.
fn text_as_bytes(metadata: ParquetMetaData) -> Result<ParquetMetaData, ParquetError> {
    let file = metadata.file_metadata();
    let root = Arc::new(plain(file.schema_descr().root_schema())?);
    let plain_file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_owned),
        None,
        Arc::new(SchemaDescriptor::new(root)),
        None,
    );
    Ok(ParquetMetaData::new(plain_file, metadata.row_groups().to_vec()))
}

fn plain(ty: &Type) -> Result<Type, ParquetError> {
    let info = ty.get_basic_info();
    if let Type::PrimitiveType { physical_type, .. } = ty {
        if !is_text(ty) {
            return Ok(ty.clone());
        }
        return Type::primitive_type_builder(info.name(), *physical_type)
            .with_repetition(info.repetition())
            .with_id(info.has_id().then(|| info.id()))
            .build();
    }
    let fields = ty.get_fields().iter().map(|field| plain(field).map(Arc::new)).collect::<Result<_, _>>()?;
    let mut builder = Type::group_type_builder(info.name())
        .with_fields(fields)
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_id(info.has_id().then(|| info.id()));
    if info.has_repetition() {
        builder = builder.with_repetition(info.repetition());
    }
    builder.build()
}

/// Whether a leaf is declared to be text.
fn is_text(leaf: &Type) -> bool {
    let info = leaf.get_basic_info();
    leaf.is_primitive()
        && leaf.get_physical_type() == PhysicalType::BYTE_ARRAY
        && (matches!(info.converted_type(), ConvertedType::UTF8 | ConvertedType::JSON | ConvertedType::ENUM)
            || matches!(info.logical_type_ref(), Some(LogicalType::String | LogicalType::Json | LogicalType::Enum)))
}

#[cfg(test)]
mod tests;
