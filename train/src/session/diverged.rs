//! A note in a run's folder that it diverged, for whoever looks at it later or from another process.

use std::fs;
use std::io::{ErrorKind, Result as IoResult};
use std::path::Path;
use std::time::SystemTime;

use mbsd_data::staged::write_whole;

use crate::TrainError;

const FILE: &str = "diverged.txt";

/// Leaves the note.
pub(super) fn note(output: &Path, error: &TrainError) -> Result<(), TrainError> {
    let path = output.join(FILE);
    write_whole(&path, &format!("{error}\n")).map_err(TrainError::io("write", &path))
}

/// Takes it away: the run is tried again.
pub(super) fn forget(output: &Path) -> Result<(), TrainError> {
    let path = output.join(FILE);
    absent(fs::remove_file(&path)).map_err(TrainError::io("remove", &path))?;
    Ok(())
}

/// What it says, if there is one that is no older than `since`.
pub(crate) fn noted(output: &Path, since: SystemTime) -> Result<Option<String>, TrainError> {
    let path = output.join(FILE);
    let read = || {
        let Some(metadata) = absent(fs::metadata(&path))? else { return Ok(None) };
        if metadata.modified()? < since { Ok(None) } else { absent(fs::read_to_string(&path)) }
    };
    let text = read().map_err(TrainError::io("read", &path))?;
    Ok(text.map(|text| text.trim_end().to_owned()))
}

/// Whether a file is there is no error.
fn absent<T>(result: IoResult<T>) -> IoResult<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}
