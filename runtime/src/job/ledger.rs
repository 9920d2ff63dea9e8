//! What a job in shards has done, on disk: which job it is, and a line for each finished shard.
//!
//! ```text
//! folder/
//!   job.json                which input, bundle and settings the shards are of
//!   ledger.jsonl            a line a finished shard, in order
//!   part-00000.parquet      rows with a result
//!   quarantine-00000.jsonl  rows without one, where there are any
//!   summary.json            the whole job's counts; its being there says that the job is finished
//! ```
//!
//! A part is written under another name, synced and renamed before its line is added, so that whatever ends the process, the
//! ledger never speaks of a part that is not whole. A part without its line is written again.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use mbsd_data::staged::{is_staged, write_whole};
use mbsd_spec::Variant;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::JobError;
use super::sink::remove;
use super::summary::Summary;

const JOB: &str = "job.json";
const LEDGER: &str = "ledger.jsonl";
const SUMMARY: &str = "summary.json";
const LOCK: &str = ".lock";

/// What the results depend on. Two jobs of the same identity give the same rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// SHA-256, in hex, of the input: of the file, or of the names and digests of its files.
    pub input: String,
    /// SHA-256, in hex, of the bundle's manifest, which holds those of its files.
    pub bundle: String,
    /// Everything else, by name: engine and its version, options of the command, size and format of the shards.
    pub settings: BTreeMap<String, Value>,
}

impl Identity {
    /// What differs from another one, in words.
    fn differences(&self, earlier: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.input != earlier.input {
            found.push("the input has changed".to_owned());
        }
        if self.bundle != earlier.bundle {
            found.push("the bundle is another one".to_owned());
        }
        let names = self.settings.keys().chain(earlier.settings.keys().filter(|key| !self.settings.contains_key(*key)));
        for name in names {
            let text = |settings: &BTreeMap<String, Value>| settings.get(name).unwrap_or(&Value::Null).to_string();
            let (now, then) = (text(&self.settings), text(&earlier.settings));
            if now != then {
                found.push(format!("`{name}` was {then} and is {now}"));
            }
        }
        found
    }
}

/// A finished shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShardLine {
    /// Its number, the first being 0.
    pub(super) shard: u64,
    /// Rows of the input.
    pub(super) rows: u64,
    pub(super) scored: u64,
    pub(super) products: u64,
    #[serde(default)]
    pub(super) questions: u64,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) variants: BTreeMap<Variant, u64>,
    /// Bytes of the part.
    pub(super) bytes: u64,
}

impl ShardLine {
    /// What the shard counts.
    pub(super) fn counts(&self) -> Summary {
        let (errors, variants) = (self.errors.clone(), self.variants.clone());
        Summary {
            rows: self.rows,
            scored: self.scored,
            products: self.products,
            questions: self.questions,
            errors,
            variants,
            ..Summary::default()
        }
    }
}

/// The ledger of a job that is not finished.
#[derive(Debug)]
pub(super) struct Ledger {
    folder: PathBuf,
    file: File,
    /// The shards done, in order.
    pub(super) done: Vec<ShardLine>,
    /// Keeps other processes out of the folder until it is dropped, or the process ends in whatever way.
    _lock: File,
}

/// What a folder holds.
#[derive(Debug)]
pub(super) enum Opened {
    /// A job to be begun or gone on with.
    Unfinished(Ledger),
    /// A finished one, and its counts.
    Finished(Box<Summary>),
}

impl Ledger {
    /// Begins a job in a new or empty folder, or with `resume` goes on with the one that is there. `part` names the file of a
    /// shard.
    ///
    /// # Errors
    /// [`JobError::Resume`] where the folder holds another job, or holds one and `resume` is not set, or another process writes into
    /// it. A part that is not what was written is made anew, with those after it.
    pub(super) fn open(
        folder: &Path,
        identity: &Identity,
        resume: bool,
        part: impl Fn(u64) -> PathBuf,
    ) -> Result<Opened, JobError> {
        let failed = |source: std::io::Error| JobError::Output { path: folder.to_owned(), source: source.into() };
        fs::create_dir_all(folder).map_err(failed)?;
        let refused = |reason: String| JobError::Resume { folder: folder.to_owned(), reason };
        let lock = File::create(folder.join(LOCK)).map_err(failed)?;
        if matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(refused("another process writes into it: wait for that, or take another folder".to_owned()));
        }
        let path = folder.join(JOB);
        match fs::read(&path) {
            Ok(_) if !resume => return Err(refused("it holds one already; --resume goes on with it".to_owned())),
            Ok(bytes) => {
                let earlier: Identity = serde_json::from_slice(&bytes)
                    .map_err(|error| refused(format!("its {JOB} cannot be read ({error})")))?;
                let differences = identity.differences(&earlier);
                if !differences.is_empty() {
                    let reason = format!("it holds another one ({}); take another folder", differences.join("; "));
                    return Err(refused(reason));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let ours = |name: &OsStr| is_staged(name) || name == LOCK;
                if fs::read_dir(folder).map_err(failed)?.flatten().any(|entry| !ours(&entry.file_name())) {
                    return Err(refused("it holds other files; take a new or an empty folder".to_owned()));
                }
                write_whole(&path, &json(identity)).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        // What a start that was ended had begun to write.
        for entry in fs::read_dir(folder).map_err(failed)?.flatten() {
            if is_staged(&entry.file_name()) && entry.path().is_file() {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        let mut done = read_lines(&folder.join(LEDGER)).map_err(&refused)?;
        let is_there = |line: &ShardLine| fs::metadata(part(line.shard)).is_ok_and(|file| file.len() == line.bytes);
        if let Some(first) = done.iter().position(|line| !is_there(line)) {
            let path = part(first as u64);
            eprintln!("note: {} is not what was written: it and what follows are made anew", path.display());
            done.truncate(first);
            remove(&folder.join(SUMMARY))?;
        }
        if let Ok(bytes) = fs::read(folder.join(SUMMARY)) {
            let summary = serde_json::from_slice(&bytes)
                .map_err(|error| refused(format!("its {SUMMARY} cannot be read ({error})")))?;
            remove(&folder.join(LOCK))?;
            return Ok(Opened::Finished(Box::new(summary)));
        }
        // Written anew: the process may have ended in the middle of a line.
        let lines: String = done.iter().map(|line| json(line) + "\n").collect();
        write_whole(&folder.join(LEDGER), &lines).map_err(failed)?;
        let file = OpenOptions::new().append(true).open(folder.join(LEDGER)).map_err(failed)?;
        Ok(Opened::Unfinished(Self { folder: folder.to_owned(), file, done, _lock: lock }))
    }

    /// Adds a shard whose part is in its place.
    pub(super) fn add(&mut self, line: ShardLine) -> Result<(), JobError> {
        let text = json(&line) + "\n";
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_all())
            .map_err(|source| JobError::Output { path: self.folder.join(LEDGER), source: source.into() })?;
        self.done.push(line);
        Ok(())
    }

    /// Says that the job is finished.
    pub(super) fn finish(self, summary: &Summary) -> Result<(), JobError> {
        let path = self.folder.join(SUMMARY);
        write_whole(&path, &(json(summary) + "\n"))
            .map_err(|source| JobError::Output { path: path.clone(), source: source.into() })?;
        remove(&self.folder.join(LOCK))
    }
}

/// Lines of a ledger up to the first that is not whole.
fn read_lines(path: &Path) -> Result<Vec<ShardLine>, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("its {LEDGER} cannot be read ({error})")),
    };
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let lines: Vec<ShardLine> = whole.map_while(|line| serde_json::from_str(line).ok()).collect();
    if lines.iter().zip(0..).any(|(line, number)| line.shard != number) {
        return Err(format!("its {LEDGER} does not name every shard once"));
    }
    Ok(lines)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("structs of plain fields are JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity() -> Identity {
        let settings = [("engine".to_owned(), json!("tract")), ("top".to_owned(), json!(3))];
        Identity { input: "a".to_owned(), bundle: "b".to_owned(), settings: settings.into() }
    }

    fn line(shard: u64) -> ShardLine {
        ShardLine {
            shard,
            rows: 10,
            scored: 9,
            products: 9,
            questions: 18,
            errors: [("image_missing".to_owned(), 1)].into(),
            variants: [(Variant::Full, 9)].into(),
            bytes: 4,
        }
    }

    fn open(folder: &Path, identity: &Identity, resume: bool) -> Result<Ledger, String> {
        match Ledger::open(folder, identity, resume, |shard| folder.join(format!("part-{shard}"))) {
            Ok(Opened::Unfinished(ledger)) => Ok(ledger),
            Ok(Opened::Finished(_)) => Err("finished".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_torn_line_is_forgotten_and_its_shard_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let mut ledger = open(path, &identity(), false).unwrap();
        for shard in 0..3 {
            fs::write(path.join(format!("part-{shard}")), "four").unwrap();
            ledger.add(line(shard)).unwrap();
        }
        drop(ledger);
        let text = fs::read_to_string(path.join(LEDGER)).unwrap();
        for cut in 0..text.len() {
            fs::write(path.join(LEDGER), &text[..cut]).unwrap();
            let whole = text[..cut].matches('\n').count();
            let mut ledger = open(path, &identity(), true).unwrap();
            assert_eq!(ledger.done, (0..whole as u64).map(line).collect::<Vec<_>>(), "cut at {cut}");
            for shard in whole as u64..3 {
                ledger.add(line(shard)).unwrap();
            }
            assert_eq!(fs::read_to_string(path.join(LEDGER)).unwrap(), text);
        }
    }

    #[test]
    fn another_job_is_refused_and_says_what_is_different() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), &identity(), true).unwrap();
        let refused = |identity: &Identity, resume| open(folder.path(), identity, resume).unwrap_err();
        assert!(refused(&identity(), false).ends_with("it holds one already; --resume goes on with it"));
        let mut other = identity();
        other.bundle = "c".to_owned();
        other.settings.insert("top".to_owned(), json!(4));
        other.settings.insert("threshold".to_owned(), json!(0.5));
        let error = refused(&other, true);
        for part in ["the bundle is another one", "`top` was 3 and is 4", "`threshold` was null and is 0.5"] {
            assert!(error.contains(part), "{error}");
        }
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("notes.txt"), "").unwrap();
        assert!(open(elsewhere.path(), &identity(), true).unwrap_err().contains("it holds other files"));
    }

    #[test]
    fn a_part_that_is_not_what_was_written_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let part = |shard: u64| folder.path().join(format!("part-{shard}"));
        let mut ledger = open(folder.path(), &identity(), false).unwrap();
        for shard in 0..3 {
            fs::write(part(shard), "four").unwrap();
            ledger.add(line(shard)).unwrap();
        }
        ledger.finish(&Summary::default()).unwrap();
        assert_eq!(open(folder.path(), &identity(), true).unwrap_err(), "finished");
        fs::write(part(1), "fo").unwrap();
        let ledger = open(folder.path(), &identity(), true).unwrap();
        assert_eq!(ledger.done, [line(0)], "a finished job is gone on with as well");
    }

    #[test]
    fn one_process_writes_into_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = open(folder.path(), &identity(), false).unwrap();
        let error = open(folder.path(), &identity(), true).unwrap_err();
        assert!(error.contains("another process writes into it"), "{error}");
        drop(ledger);
        open(folder.path(), &identity(), true).unwrap();
    }
}
