//! A safetensors file read tensor by tensor, so that no more than one is held beside the model.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, TensorData};
use safetensors::tensor::{Dtype, Metadata};

use super::{FILE_NAME, WeightsError};

/// The most bytes a header may have; the safetensors library draws the same line.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// An open safetensors file whose header has been checked.
#[derive(Debug)]
pub struct WeightsFile {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    data_start: u64,
}

impl WeightsFile {
    /// Opens a file, or `model.safetensors` in a folder, and checks its header against its length.
    ///
    /// # Errors
    /// [`WeightsError::Read`] and [`WeightsError::Format`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let mut path = path.as_ref().to_owned();
        if path.is_dir() {
            path.push(FILE_NAME);
        }
        let read = |source| WeightsError::Read { path: path.clone(), source };
        let format = |reason: String| WeightsError::Format { path: path.clone(), reason };

        let mut file = File::open(&path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        if length < 8 {
            return Err(format(format!("{length} bytes are too few")));
        }
        let mut header_length = [0; 8];
        file.read_exact(&mut header_length).map_err(read)?;
        let header_length = u64::from_le_bytes(header_length);
        if header_length > MAX_HEADER_BYTES.min(length - 8) {
            return Err(format(format!("a header of {header_length} bytes in a file of {length}")));
        }
        let mut header = vec![0; header_length as usize];
        file.read_exact(&mut header).map_err(read)?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| format(error.to_string()))?;
        let data_start = 8 + header_length;
        let expected = data_start.saturating_add(metadata.data_len() as u64);
        if length != expected {
            return Err(format(format!("{length} bytes where its header promises {expected}")));
        }
        Ok(Self { path, file, metadata, data_start })
    }

    /// The file itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the tensors, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// The shape of a tensor, `None` where there is none of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.metadata.info(name).map(|info| info.shape.as_slice())
    }

    /// Reads a tensor as 32-bit floats, `None` where there is none of that name.
    ///
    /// # Errors
    /// [`WeightsError::Read`], and [`WeightsError::Type`] where it holds no floats.
    pub fn read(&self, name: &str) -> Result<Option<Vec<f32>>, WeightsError> {
        let Some(info) = self.metadata.info(name) else { return Ok(None) };
        let dtype = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => return Err(WeightsError::Type { name: name.to_owned(), dtype: format!("{other:?}") }),
        };
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.data_start + start as u64))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|source| WeightsError::Read { path: self.path.clone(), source })?;
        let values = if dtype == DType::F32 {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        } else {
            let data = TensorData::from_bytes_vec(bytes, info.shape.clone(), dtype);
            data.iter::<f32>().collect()
        };
        Ok(Some(values))
    }
}
