//! Files that are there whole or not at all, whatever ends the process.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use tempfile::TempPath;

const PREFIX: &str = ".mbsd-";
const SUFFIX: &str = ".tmp";

/// An empty file beside its destination, under a name of its own. It is removed where it is not renamed.
///
/// # Errors
/// If the destination's folder cannot be written.
pub fn stage(destination: &Path) -> std::io::Result<(File, TempPath)> {
    // Made here rather than by `tempfile`, whose files nobody else may read.
    let staged = tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .make_in(folder_of(destination), |path| OpenOptions::new().write(true).create_new(true).open(path))?;
    Ok(staged.into_parts())
}

/// Whether a name is that of a file that was never finished.
pub fn is_staged(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// Writes a whole file, synced.
///
/// # Errors
/// If it cannot be written; an earlier file is then as it was.
pub fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let (mut file, staged) = stage(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    staged.persist(path).map_err(|error| error.error)?;
    sync_folder_of(path)
}

/// Makes the names in a file's folder last.
///
/// # Errors
/// If the folder cannot be opened or synced.
pub fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    // Elsewhere a folder cannot be opened.
    if cfg!(unix) {
        File::open(folder_of(path))?.sync_all()?;
    }
    Ok(())
}

/// Makes the folder that a file is to lie in, where it is not there.
///
/// # Errors
/// If it cannot be made.
pub fn make_folder_of(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder_of(path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
