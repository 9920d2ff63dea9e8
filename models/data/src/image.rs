//! Where a product's picture is, and how its bytes are had.

use std::borrow::Cow;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use mbsd_spec::row::RowError;

use crate::error::{ReadError, codes, row_error};

/// Image files over this size are refused unread; the decoder's own limit.
const MAX_BYTES: u64 = mbsd_spec::image::MAX_FILE_BYTES as u64;

/// The folder that image paths are relative to and, unless told otherwise, may not leave.
#[derive(Debug)]
pub struct ImageFolder {
    root: PathBuf,
    allow_outside: bool,
}

impl ImageFolder {
    /// A folder whose files may be read.
    ///
    /// A catalogue is input from elsewhere: a path in it that is absolute, climbs with `..` or follows a symbolic
    /// link out of the folder would have any file of the machine read. With `allow_outside` such paths are read.
    ///
    /// # Errors
    /// [`ReadError::ImageFolder`] if there is no such folder.
    pub fn new(root: &Path, allow_outside: bool) -> Result<Self, ReadError> {
        let error = |source| ReadError::ImageFolder { path: root.to_owned(), source };
        let root = root.canonicalize().map_err(error)?;
        if !root.is_dir() {
            return Err(ReadError::ImageFolder { path: root, source: ErrorKind::NotADirectory.into() });
        }
        Ok(Self { root, allow_outside })
    }

    /// The bytes of an image file.
    fn read(&self, given: &str) -> Result<Vec<u8>, RowError> {
        let path = self.resolve(given)?;
        let failed =
            |error: std::io::Error| row_error(codes::IMAGE_UNREADABLE, format!("cannot read `{given}`: {error}"));
        let metadata = path.metadata().map_err(failed)?;
        // A pipe or a device would block or never end.
        if !metadata.is_file() {
            return Err(row_error(codes::IMAGE_UNREADABLE, format!("`{given}` is not a file")));
        }
        check_size(metadata.len())?;
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        File::open(&path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(failed)?;
        check_size(bytes.len() as u64)?;
        Ok(bytes)
    }

    /// Whether something is at a path; refused paths count as there, so that they are reported.
    pub(crate) fn has(&self, given: &str) -> bool {
        !given.contains("://") && !matches!(self.resolve(given), Err(error) if error.code == codes::IMAGE_MISSING)
    }

    fn resolve(&self, given: &str) -> Result<PathBuf, RowError> {
        let refused = |why: &str| Err(row_error(codes::IMAGE_PATH_REFUSED, format!("`{given}` {why}")));
        let outside = || refused("leads out of the image folder");
        if given.contains("://") {
            return refused("is an address; images are read from files only");
        }
        if given.contains('\0') {
            return refused("is not a path");
        }
        let path = self.root.join(given);
        // Told by the text alone where possible, so that the answer does not depend on what exists outside.
        let climbs = Path::new(given).components().any(|c| c == Component::ParentDir);
        if !self.allow_outside && (climbs || !path.starts_with(&self.root)) {
            return outside();
        }
        match path.canonicalize() {
            Ok(path) if self.allow_outside || path.starts_with(&self.root) => Ok(path),
            Ok(_) => outside(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(row_error(codes::IMAGE_MISSING, format!("`{given}` is not in {}", self.root.display())))
            }
            Err(error) => Err(row_error(codes::IMAGE_UNREADABLE, format!("cannot read `{given}`: {error}"))),
        }
    }
}

fn check_size(bytes: u64) -> Result<(), RowError> {
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    Err(row_error(
        codes::IMAGE_TOO_LARGE,
        format!("the image has {bytes} bytes or more, over the limit of {MAX_BYTES}"),
    ))
}

/// A product's picture, not yet read.
#[derive(Debug, Clone)]
pub enum ImageSource {
    /// A file.
    File {
        /// Where relative paths start.
        folder: Arc<ImageFolder>,
        /// The path as the catalogue has it.
        path: String,
    },
    /// Bytes that came with the row.
    Embedded {
        /// The encoded image.
        bytes: Arc<[u8]>,
        /// The name beside the bytes, for reference only.
        path: Option<String>,
    },
}

impl ImageSource {
    /// The encoded image.
    ///
    /// # Errors
    /// Code `image_missing`, `image_unreadable`, `image_path_refused` or `image_too_large`.
    pub fn read(&self) -> Result<Cow<'_, [u8]>, RowError> {
        match self {
            Self::File { folder, path } => folder.read(path).map(Cow::Owned),
            Self::Embedded { bytes, .. } => check_size(bytes.len() as u64).map(|()| Cow::Borrowed(&**bytes)),
        }
    }

    /// The path in the catalogue, if it has one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::File { path, .. } => Some(path),
            Self::Embedded { path, .. } => path.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Arc<ImageFolder>, path: &str) -> Result<Vec<u8>, String> {
        let source = ImageSource::File { folder: folder.clone(), path: path.to_owned() };
        source.read().map(Cow::into_owned).map_err(|error| error.code.to_string())
    }

    #[test]
    fn only_files_of_the_folder_are_read() {
        let temporary = tempfile::tempdir().unwrap();
        let images = temporary.path().join("images");
        std::fs::create_dir(&images).unwrap();
        std::fs::write(images.join("a.jpg"), b"A").unwrap();
        std::fs::write(temporary.path().join("secret"), b"S").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("../secret", images.join("link.jpg")).unwrap();
        let strict = Arc::new(ImageFolder::new(&images, false).unwrap());
        let inside = images.canonicalize().unwrap().join("a.jpg");
        let outside = temporary.path().join("secret");

        assert_eq!(file(&strict, "a.jpg"), Ok(b"A".to_vec()));
        assert_eq!(file(&strict, "./a.jpg"), Ok(b"A".to_vec()));
        assert_eq!(file(&strict, inside.to_str().unwrap()), Ok(b"A".to_vec()));
        for escape in ["../secret", "x/../../secret", outside.to_str().unwrap(), "/etc/hostname", "/no/such/file"] {
            assert_eq!(file(&strict, escape), Err("image_path_refused".to_owned()), "{escape}");
        }
        #[cfg(unix)]
        assert_eq!(file(&strict, "link.jpg"), Err("image_path_refused".to_owned()));
        assert_eq!(file(&strict, "https://example.com/a.jpg"), Err("image_path_refused".to_owned()));
        assert_eq!(file(&strict, "a\0.jpg"), Err("image_path_refused".to_owned()));
        assert_eq!(file(&strict, "b.jpg"), Err("image_missing".to_owned()));
        assert_eq!(file(&strict, "."), Err("image_unreadable".to_owned()));

        let open = Arc::new(ImageFolder::new(&images, true).unwrap());
        assert_eq!(file(&open, "../secret"), Ok(b"S".to_vec()));
        assert_eq!(file(&open, outside.to_str().unwrap()), Ok(b"S".to_vec()));
        assert!(ImageFolder::new(&images.join("a.jpg"), false).is_err());
    }

    #[test]
    fn an_oversized_file_is_refused_unread() {
        let temporary = tempfile::tempdir().unwrap();
        File::create(temporary.path().join("big.jpg")).unwrap().set_len(MAX_BYTES + 1).unwrap();
        File::create(temporary.path().join("limit.jpg")).unwrap().set_len(MAX_BYTES).unwrap();
        let folder = Arc::new(ImageFolder::new(temporary.path(), false).unwrap());
        assert_eq!(file(&folder, "big.jpg"), Err("image_too_large".to_owned()));
        assert_eq!(file(&folder, "limit.jpg").unwrap().len(), MAX_BYTES as usize);
        let bytes = vec![0; MAX_BYTES as usize + 1].into();
        assert_eq!(ImageSource::Embedded { bytes, path: None }.read().unwrap_err().code, "image_too_large");
    }
}
