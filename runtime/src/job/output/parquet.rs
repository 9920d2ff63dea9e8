//! Parquet: row batches through Arrow builders, Snappy compressed.

use std::fs::File;

use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::arrays::Rows;
use super::{Failure, Field, Format, OutputColumn};

/// Rows collected before they go to the writer.
const BATCH_ROWS: usize = 1024;

/// Rows of a row group.
const GROUP_ROWS: usize = 65_536;

pub(super) struct ParquetFormat {
    rows: Rows,
    writer: ArrowWriter<File>,
}

impl ParquetFormat {
    pub(super) fn new(file: File, columns: &[OutputColumn]) -> Result<Self, Failure> {
        let rows = Rows::new(columns);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(file, rows.schema().clone(), Some(properties))?;
        Ok(Self { rows, writer })
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.writer.write(&self.rows.take()?)?;
        Ok(())
    }
}

impl Format for ParquetFormat {
    fn write(&mut self, row: &[Field]) -> Result<(), Failure> {
        if self.rows.push(row) == BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        self.flush()?;
        self.writer.close()?;
        Ok(())
    }
}
