//! An Arrow IPC stream that another program reads while it is written.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use arrow_ipc::writer::StreamWriter;

use super::arrays::Rows;
use super::{Failure, Field, OutputColumn};
use crate::job::JobError;

/// Rows collected before they are sent, so that a reader does not wait long.
const BATCH_ROWS: usize = 256;

/// A stream being written. Dropped before it is finished, it lacks its end mark.
pub(in crate::job) struct OutputStream<'a> {
    rows: Rows,
    writer: StreamWriter<Shared<'a>>,
}

impl<'a> OutputStream<'a> {
    /// Begins a stream with its schema.
    pub(in crate::job) fn new(output: &'a Mutex<dyn Write + Send>, columns: &[OutputColumn]) -> Result<Self, JobError> {
        let rows = Rows::new(columns);
        let writer = StreamWriter::try_new(Shared(output), rows.schema()).map_err(|error| failed(error.into()))?;
        Ok(Self { rows, writer })
    }

    pub(in crate::job) fn write(&mut self, row: &[Field]) -> Result<(), JobError> {
        if self.rows.push(row) == BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    /// Sends what is held back, and the end mark.
    pub(in crate::job) fn finish(mut self) -> Result<(), JobError> {
        self.flush()?;
        self.writer.finish().map_err(|error| failed(error.into()))?;
        self.writer.get_mut().flush().map_err(|error| failed(error.into()))
    }

    fn flush(&mut self) -> Result<(), JobError> {
        let batch = self.rows.take().map_err(|error| failed(error.into()))?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.writer.write(&batch).map_err(|error| failed(error.into()))?;
        self.writer.get_mut().flush().map_err(|error| failed(error.into()))
    }
}

fn failed(source: Failure) -> JobError {
    JobError::Output { path: "the standard output".into(), source }
}

struct Shared<'a>(&'a Mutex<dyn Write + Send>);

impl Write for Shared<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}
