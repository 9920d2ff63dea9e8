//! The image of a product: in memory, in its file, or laid aside on the disk.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mbsd_data::ImageSource;
use mbsd_spec::image::{Preprocessor, RgbImage, decode};

/// An image, resized or still to be decoded.
#[derive(Debug, Clone)]
pub enum Picture {
    /// Resized to the model's size.
    Resized(RgbImage),
    /// Encoded, because the cache was full. It has been decoded once.
    Encoded(ImageSource),
    /// Encoded bytes that came with the row, for the same reason, in a file of the corpus.
    Spilled(Arc<Mutex<File>>, Range<u64>),
}

impl Picture {
    /// The image in the model's size.
    ///
    /// # Errors
    /// What is wrong with an image that can no longer be read.
    pub fn image(&self, preprocessor: &Preprocessor) -> Result<Cow<'_, RgbImage>, String> {
        match self {
            Self::Resized(image) => Ok(Cow::Borrowed(image)),
            Self::Encoded(source) => decoded(source, preprocessor).map(Cow::Owned),
            Self::Spilled(file, place) => {
                let bytes = read_back(file, place).map_err(|error| format!("a temporary file: {error}"))?;
                resized(&bytes, preprocessor).map(Cow::Owned)
            }
        }
    }
}

pub(super) fn decoded(source: &ImageSource, preprocessor: &Preprocessor) -> Result<RgbImage, String> {
    let bytes = source.read().map_err(|error| error.to_string())?;
    resized(&bytes, preprocessor)
}

fn resized(bytes: &[u8], preprocessor: &Preprocessor) -> Result<RgbImage, String> {
    let image = decode(bytes).map_err(|error| error.to_string())?;
    Ok(preprocessor.resize(&image))
}

/// Where encoded images go that there is no memory for: a file without a name, gone with the process.
#[derive(Debug)]
pub(super) struct Spill {
    folder: PathBuf,
    file: Option<Arc<Mutex<File>>>,
    end: u64,
}

fn read_back(file: &Mutex<File>, place: &Range<u64>) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; (place.end - place.start) as usize];
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(place.start))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl Spill {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), file: None, end: 0 }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn take(&mut self, bytes: &[u8]) -> std::io::Result<Picture> {
        let file = match &self.file {
            Some(file) => file.clone(),
            None => self.file.insert(Arc::new(Mutex::new(tempfile::tempfile_in(&self.folder)?))).clone(),
        };
        let mut writer = file.lock().unwrap_or_else(PoisonError::into_inner);
        writer.seek(SeekFrom::Start(self.end))?;
        writer.write_all(bytes)?;
        drop(writer);
        let start = self.end;
        self.end += bytes.len() as u64;
        Ok(Picture::Spilled(file, start..self.end))
    }
}
