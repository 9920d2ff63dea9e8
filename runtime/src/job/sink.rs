//! Where the rows of a job go: one file, or a folder of shards that can be gone on with.

use std::io::Write;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use mbsd_data::{ColumnType, reads};
use mbsd_spec::RowError;
use serde_json::Value;

use super::JobError;
use super::ledger::{Identity, Ledger, Opened, ShardLine};
use super::output::{Field, FieldType, OutputColumn, OutputFile, OutputStream};
use super::summary::Summary;

/// Where results go.
#[derive(Clone, Copy)]
pub enum Destination<'a> {
    /// One file, `.parquet` or `.jsonl`, that appears when it is whole. Rows without a result are in it, with their error.
    File(&'a Path),
    /// A folder of shards. Rows without a result are in files of their own.
    Folder(&'a ShardedOutput),
    /// An Arrow IPC stream, with an end mark when it is whole. Rows without a result are in it, with their error.
    Stream(&'a Mutex<dyn Write + Send>),
}

impl<'a> Destination<'a> {
    /// The file that pairs go into.
    ///
    /// # Errors
    /// [`JobError::Setting`] for a folder or a stream.
    pub(super) fn one_file(&self) -> Result<&'a Path, JobError> {
        match self {
            Self::File(path) => Ok(path),
            Self::Folder(_) | Self::Stream(_) => {
                Err(JobError::Setting("pairs go into one file: --output takes a .parquet or .jsonl".to_owned()))
            }
        }
    }
}

impl std::fmt::Debug for Destination<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Folder(sharded) => f.debug_tuple("Folder").field(sharded).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// A folder of shards.
#[derive(Debug)]
pub struct ShardedOutput {
    /// The folder: a new or empty one, or with `resume` one of the same job.
    pub folder: PathBuf,
    /// What the parts are.
    pub format: ShardFormat,
    /// Rows of the input that make a shard.
    pub rows: NonZeroU64,
    /// Whether to go on with what the folder holds.
    pub resume: bool,
    /// What the results depend on.
    pub identity: Identity,
    /// Set by whoever wants the job to end after the shards it has begun.
    pub stop: Arc<AtomicBool>,
}

/// The format of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardFormat {
    /// `part-00000.parquet`.
    Parquet,
    /// `part-00000.jsonl`.
    Jsonl,
}

impl ShardFormat {
    /// The extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Jsonl => "jsonl",
        }
    }
}

/// A row without a result.
#[derive(Debug)]
pub(super) struct Rejected<'a> {
    /// Its number in the input, the first being 1.
    pub(super) row: u64,
    pub(super) id: Option<&'a str>,
    pub(super) error: &'a RowError,
}

/// Takes the rows of a job in the order of the input.
pub(super) enum Sink<'a> {
    File(OutputFile),
    Shards(Box<Shards<'a>>),
    Stream(Box<OutputStream<'a>>),
}

/// What opening a destination found.
pub(super) enum Opening<'a> {
    Ready(Sink<'a>),
    /// The job is finished already.
    Finished(Box<Summary>),
}

impl<'a> Sink<'a> {
    /// Makes a destination ready for rows of `columns`. `summary` gets the counts of shards done earlier.
    pub(super) fn open(
        destination: Destination<'a>,
        columns: &'a [OutputColumn],
        input: &Path,
        summary: &mut Summary,
    ) -> Result<Opening<'a>, JobError> {
        let sharded = match destination {
            Destination::File(path) => {
                return Ok(Opening::Ready(Self::File(OutputFile::create(path, columns, &[input])?)));
            }
            Destination::Stream(output) => {
                return Ok(Opening::Ready(Self::Stream(Box::new(OutputStream::new(output, columns)?))));
            }
            Destination::Folder(sharded) => sharded,
        };
        let part = |shard| sharded.path("part", shard, sharded.format.extension());
        if reads(input, &part(0)) {
            let folder = sharded.folder.display();
            let message = format!("--output {folder} would be read as input: write elsewhere");
            return Err(JobError::Setting(message));
        }
        Ok(match Ledger::open(&sharded.folder, &sharded.identity, sharded.resume, part)? {
            Opened::Finished(earlier) => Opening::Finished(earlier),
            Opened::Unfinished(ledger) => {
                ledger.done.iter().for_each(|line| summary.add_earlier(&line.counts()));
                let shards = Shards { sharded, columns, ledger, open: None };
                Opening::Ready(Self::Shards(Box::new(shards)))
            }
        })
    }

    /// Writes a row with what it has or lacks; `counted` counts it.
    pub(super) fn write(
        &mut self,
        row: &[Field],
        rejected: Option<Rejected<'_>>,
        counted: impl Fn(&mut Summary),
    ) -> Result<(), JobError> {
        match self {
            Self::File(file) => file.write(row),
            Self::Stream(stream) => stream.write(row),
            Self::Shards(shards) => shards.write(row, rejected, counted),
        }
    }

    /// Completes what was begun. `stopped` says that rows are left, because the job was asked to end.
    pub(super) fn finish(self, summary: &Summary, stopped: bool) -> Result<(), JobError> {
        match self {
            Self::File(file) => file.finish(),
            Self::Stream(stream) => stream.finish(),
            Self::Shards(mut shards) => {
                shards.close()?;
                if stopped {
                    let folder = shards.sharded.folder.clone();
                    return Err(JobError::Interrupted { folder, rows: summary.rows });
                }
                shards.ledger.finish(summary)
            }
        }
    }
}

/// A job in shards at work.
pub(super) struct Shards<'a> {
    sharded: &'a ShardedOutput,
    columns: &'a [OutputColumn],
    ledger: Ledger,
    open: Option<OpenShard>,
}

/// A shard being written.
struct OpenShard {
    part: OutputFile,
    quarantine: Option<OutputFile>,
    counts: Summary,
}

impl ShardedOutput {
    fn path(&self, kind: &str, shard: u64, extension: &str) -> PathBuf {
        self.folder.join(format!("{kind}-{shard:05}.{extension}"))
    }
}

impl Shards<'_> {
    fn write(
        &mut self,
        row: &[Field],
        rejected: Option<Rejected<'_>>,
        counted: impl Fn(&mut Summary),
    ) -> Result<(), JobError> {
        let shard = self.ledger.done.len() as u64;
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let path = self.sharded.path("part", shard, self.sharded.format.extension());
                let part = OutputFile::create(&path, self.columns, &[])?;
                self.open.insert(OpenShard { part, quarantine: None, counts: Summary::default() })
            }
        };
        counted(&mut open.counts);
        match rejected {
            None => open.part.write(row)?,
            Some(rejected) => {
                let quarantine = match &mut open.quarantine {
                    Some(quarantine) => quarantine,
                    None => {
                        let path = self.sharded.path("quarantine", shard, "jsonl");
                        open.quarantine.insert(OutputFile::create(&path, &quarantine_columns(), &[])?)
                    }
                };
                quarantine.write(&[
                    Field::Value(Value::from(rejected.row)),
                    Field::text(rejected.id),
                    Field::text(Some(rejected.error.code)),
                    Field::text(Some(rejected.error.message.clone())),
                ])?;
            }
        }
        if open.counts.rows == self.sharded.rows.get() {
            self.close()?;
        }
        Ok(())
    }

    /// Completes the shard that is open.
    fn close(&mut self) -> Result<(), JobError> {
        let Some(OpenShard { part, quarantine, counts }) = self.open.take() else { return Ok(()) };
        let shard = self.ledger.done.len() as u64;
        match quarantine {
            Some(quarantine) => quarantine.finish()?,
            // One of an earlier start, in which images were not there that are now.
            None => remove(&self.sharded.path("quarantine", shard, "jsonl"))?,
        }
        part.finish()?;
        let path = self.sharded.path("part", shard, self.sharded.format.extension());
        let bytes = std::fs::metadata(&path)
            .map_err(|source| JobError::Output { path: path.clone(), source: source.into() })?
            .len();
        let Summary { rows, scored, products, questions, errors, variants, .. } = counts;
        self.ledger.add(ShardLine { shard, rows, scored, products, questions, errors, variants, bytes })
    }
}

/// Removes a file if it is there.
pub(super) fn remove(path: &Path) -> Result<(), JobError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(JobError::Output { path: path.to_owned(), source: error.into() })
        }
        _ => Ok(()),
    }
}

fn quarantine_columns() -> [OutputColumn; 4] {
    [
        OutputColumn::new("row", FieldType::Input(ColumnType::Int)),
        OutputColumn::new("id", FieldType::Text),
        OutputColumn::new("code", FieldType::Text),
        OutputColumn::new("message", FieldType::Text),
    ]
}

#[cfg(test)]
mod tests;
