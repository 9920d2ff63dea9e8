//! Writing a bundle: files first, the manifest last, the whole under a temporary name until it is complete.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::manifest::Manifest;
use super::names;
use super::read::BundleError;

/// SHA-256 of a file, in lower-case hex.
///
/// # Errors
/// If the file cannot be read.
pub fn sha256_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hex(&hasher.finalize()))
}

/// SHA-256 of bytes in memory, in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A folder that is put together beside its destination and appears there only when it is whole. Dropped earlier, it leaves
/// nothing behind.
#[derive(Debug)]
pub struct StagedFolder {
    destination: PathBuf,
    staging: PathBuf,
    finished: bool,
}

impl StagedFolder {
    /// Starts a folder that will lie at `destination`, which must not exist or be an empty folder.
    ///
    /// # Errors
    /// If the destination is taken or its parent cannot be written.
    pub fn create(destination: impl AsRef<Path>) -> Result<Self, BundleError> {
        let destination = destination.as_ref().to_owned();
        let taken = match fs::read_dir(&destination) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(io(&destination)(error)),
        };
        if taken {
            return Err(BundleError::Taken { path: destination });
        }
        let name = destination.file_name().map_or_else(|| "bundle".into(), |n| n.to_string_lossy().into_owned());
        let parent = match destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        fs::create_dir_all(&parent).map_err(io(&parent))?;
        let staging = parent.join(format!(".{name}.{}.tmp", std::process::id()));
        // An interrupted run under the same process id, as in a container, may have left files here.
        if let Err(error) = fs::remove_dir_all(&staging)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(io(&staging)(error));
        }
        fs::create_dir_all(&staging).map_err(io(&staging))?;
        Ok(Self { destination, staging, finished: false })
    }

    /// Where to write the file that will lie at `relative` inside the folder, in a folder that is there.
    ///
    /// # Errors
    /// If the folder around it cannot be made.
    pub fn place(&self, relative: &str) -> Result<PathBuf, BundleError> {
        let path = self.staging.join(relative);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io(parent))?;
        }
        Ok(path)
    }

    /// Writes a small file of the folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, relative: &str, contents: impl AsRef<[u8]>) -> Result<(), BundleError> {
        let path = self.place(relative)?;
        fs::write(&path, contents).map_err(io(&path))
    }

    /// Moves the folder to its place.
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn finish(mut self) -> Result<(), BundleError> {
        if self.destination.is_dir() {
            fs::remove_dir(&self.destination).map_err(io(&self.destination))?;
        }
        fs::rename(&self.staging, &self.destination).map_err(io(&self.destination))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_dir_all(&self.staging);
        }
    }
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> BundleError + use<> {
    let path = path.to_owned();
    move |source| BundleError::Io { path, source }
}

/// Collects the files of a bundle in a folder beside the destination, which appears only when
/// [`BundleWriter::finish`] has written the manifest. Dropped earlier, it leaves nothing behind.
#[derive(Debug)]
pub struct BundleWriter {
    folder: StagedFolder,
}

impl BundleWriter {
    /// Starts a bundle that will lie at `destination`, which must not exist or be an empty folder.
    ///
    /// # Errors
    /// If the destination is taken or its parent cannot be written.
    pub fn create(destination: impl AsRef<Path>) -> Result<Self, BundleError> {
        let folder = StagedFolder::create(destination)?;
        for inside in [names::GRAPHS, names::REFERENCE] {
            let path = folder.staging.join(inside);
            fs::create_dir_all(&path).map_err(io(&path))?;
        }
        Ok(Self { folder })
    }

    /// Where to write the file that will lie at `relative` inside the bundle.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.staging.join(relative)
    }

    /// Writes a small file of the bundle.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, relative: &str, contents: impl AsRef<[u8]>) -> Result<(), BundleError> {
        self.folder.write(relative, contents)
    }

    /// Digests every file, writes the manifest and moves the bundle to its place. `manifest.files` is filled in here.
    ///
    /// # Errors
    /// If a file cannot be read or the folder cannot be moved.
    pub fn finish(self, mut manifest: Manifest) -> Result<Manifest, BundleError> {
        manifest.files.clear();
        // It goes where nothing was put into it.
        let _ = fs::remove_dir(self.path(names::REFERENCE));
        self.digest_folder("", &mut manifest)?;
        self.write(names::MANIFEST, manifest.to_json())?;
        self.folder.finish()?;
        Ok(manifest)
    }

    fn digest_folder(&self, relative: &str, manifest: &mut Manifest) -> Result<(), BundleError> {
        let folder = self.path(relative);
        for entry in fs::read_dir(&folder).map_err(io(&folder))? {
            let entry = entry.map_err(io(&folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let below = if relative.is_empty() { name } else { format!("{relative}/{name}") };
            if entry.path().is_dir() {
                self.digest_folder(&below, manifest)?;
            } else {
                let digest = sha256_file(&entry.path()).map_err(io(&entry.path()))?;
                manifest.files.insert(below, digest);
            }
        }
        Ok(())
    }
}
