//! Named tensors in safetensors files.
//!
//! Read: F32 and I64 as they are; F16, BF16 and F64 as float32 (F64 is rounded to the nearest float32); BOOL, U8, I8, U16, I16,
//! I32, U32 as int64; U64 where every value fits int64. Written: F32 and I64, names in order, so that the same tensors give
//! the same bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mbsd_spec::{NamedTensors, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

/// A file of tensors that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorsError {
    /// The file cannot be accessed.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not in safetensors format, or was cut.
    #[error("{} is not a complete safetensors file", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SafeTensorError,
    },
    /// A tensor has a type or values that have no counterpart here.
    #[error("{}: tensor `{name}` {reason}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads every tensor of a safetensors file.
///
/// # Errors
/// See [`TensorsError`].
pub fn read(path: &Path) -> Result<NamedTensors, TensorsError> {
    let bytes = std::fs::read(path).map_err(|source| TensorsError::Io { path: path.to_owned(), source })?;
    let file =
        SafeTensors::deserialize(&bytes).map_err(|source| TensorsError::Format { path: path.to_owned(), source })?;
    let tensors = file.iter().map(|(name, view)| {
        let tensor = convert(&view).map_err(|reason| TensorsError::Tensor {
            path: path.to_owned(),
            name: name.to_owned(),
            reason,
        })?;
        Ok((name.to_owned(), tensor))
    });
    tensors.collect()
}

/// Writes tensors to a safetensors file; the file appears whole or not at all.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, tensors: &NamedTensors) -> Result<(), TensorsError> {
    let data: BTreeMap<&str, (Dtype, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let bytes = match tensor {
                Tensor::F32 { data, .. } => (Dtype::F32, data.iter().flat_map(|v| v.to_le_bytes()).collect()),
                Tensor::I64 { data, .. } => (Dtype::I64, data.iter().flat_map(|v| v.to_le_bytes()).collect()),
            };
            (name.as_str(), bytes)
        })
        .collect();
    let format = |source| TensorsError::Format { path: path.to_owned(), source };
    let views = data
        .iter()
        .map(|(name, (dtype, bytes))| Ok((*name, TensorView::new(*dtype, tensors[*name].shape().to_vec(), bytes)?)))
        .collect::<Result<Vec<_>, SafeTensorError>>()
        .map_err(format)?;
    let bytes = safetensors::serialize(views, None).map_err(format)?;
    whole(path, &bytes).map_err(|source| TensorsError::Io { path: path.to_owned(), source })
}

fn whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().map_or_else(|| "tensors".into(), |name| name.to_string_lossy());
    let partial = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let done = std::fs::write(&partial, bytes).and_then(|()| std::fs::rename(&partial, path));
    if done.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    done
}

fn convert(view: &TensorView<'_>) -> Result<Tensor, String> {
    let shape = view.shape().to_vec();
    let bytes = view.data();
    let floats = |data: Vec<f32>| Tensor::f32(shape.clone(), data).map_err(|error| error.to_string());
    let integers = |data: Vec<i64>| Tensor::i64(shape.clone(), data).map_err(|error| error.to_string());
    match view.dtype() {
        Dtype::F32 => floats(values(bytes, f32::from_le_bytes)),
        Dtype::F64 => floats(values(bytes, |b| f64::from_le_bytes(b) as f32)),
        Dtype::F16 => floats(values(bytes, |b| half::f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => floats(values(bytes, |b| half::bf16::from_le_bytes(b).to_f32())),
        Dtype::I64 => integers(values(bytes, i64::from_le_bytes)),
        Dtype::I32 => integers(values(bytes, |b| i64::from(i32::from_le_bytes(b)))),
        Dtype::U32 => integers(values(bytes, |b| i64::from(u32::from_le_bytes(b)))),
        Dtype::I16 => integers(values(bytes, |b| i64::from(i16::from_le_bytes(b)))),
        Dtype::U16 => integers(values(bytes, |b| i64::from(u16::from_le_bytes(b)))),
        Dtype::I8 => integers(values(bytes, |b| i64::from(i8::from_le_bytes(b)))),
        Dtype::U8 => integers(values(bytes, |b: [u8; 1]| i64::from(b[0]))),
        Dtype::BOOL => integers(values(bytes, |b: [u8; 1]| i64::from(b[0] != 0))),
        Dtype::U64 => {
            let data: Result<Vec<i64>, _> = values(bytes, u64::from_le_bytes).into_iter().map(i64::try_from).collect();
            integers(data.map_err(|_| "holds a value above the largest int64".to_owned())?)
        }
        other => Err(format!("is of type {other:?}; use F32 or I64")),
    }
}

fn values<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_come_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.safetensors");
        let tensors = NamedTensors::from([
            ("scores".to_owned(), Tensor::f32([2, 2], vec![1.5, f32::NEG_INFINITY, -0.0, 1e-40]).unwrap()),
            ("ids".to_owned(), Tensor::i64([3], vec![i64::MIN, 0, i64::MAX]).unwrap()),
            ("none".to_owned(), Tensor::f32([0, 4], vec![]).unwrap()),
        ]);
        write(&path, &tensors).unwrap();
        assert_eq!(read(&path).unwrap(), tensors);
        let first = std::fs::read(&path).unwrap();
        write(&path, &tensors).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);
    }

    #[test]
    fn other_types_are_converted_or_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.safetensors");
        let read_one = |dtype: Dtype, bytes: &[u8]| {
            let count = bytes.len() * 8 / dtype.bitsize();
            let view = TensorView::new(dtype, vec![count], bytes).unwrap();
            std::fs::write(&path, safetensors::serialize([("x", view)], None).unwrap()).unwrap();
            read(&path).map(|mut tensors| tensors.remove("x").unwrap())
        };
        let i64s = |data: &[i64]| Tensor::i64([data.len()], data.to_vec()).unwrap();
        assert_eq!(read_one(Dtype::BOOL, &[0, 1]).unwrap(), i64s(&[0, 1]));
        assert_eq!(read_one(Dtype::U8, &[255]).unwrap(), i64s(&[255]));
        assert_eq!(read_one(Dtype::I8, &[255]).unwrap(), i64s(&[-1]));
        assert_eq!(read_one(Dtype::I32, &(-7_i32).to_le_bytes()).unwrap(), i64s(&[-7]));
        assert_eq!(read_one(Dtype::U64, &7_u64.to_le_bytes()).unwrap(), i64s(&[7]));
        assert_eq!(read_one(Dtype::F16, &0x3c00_u16.to_le_bytes()).unwrap(), Tensor::f32([1], vec![1.0]).unwrap());
        assert_eq!(read_one(Dtype::BF16, &0x3f80_u16.to_le_bytes()).unwrap(), Tensor::f32([1], vec![1.0]).unwrap());
        assert_eq!(read_one(Dtype::F64, &0.1_f64.to_le_bytes()).unwrap(), Tensor::f32([1], vec![0.1]).unwrap());
        let message = |result: Result<Tensor, TensorsError>| result.unwrap_err().to_string();
        assert!(
            message(read_one(Dtype::U64, &u64::MAX.to_le_bytes()))
                .ends_with("`x` holds a value above the largest int64")
        );
        assert!(message(read_one(Dtype::F8_E5M2, &[0])).ends_with("`x` is of type F8_E5M2; use F32 or I64"));
    }

    #[test]
    fn a_cut_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.safetensors");
        let tensors = NamedTensors::from([("x".to_owned(), Tensor::f32([8], vec![1.0; 8]).unwrap())]);
        write(&path, &tensors).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for cut in [0, 4, 20, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(matches!(read(&path), Err(TensorsError::Format { .. })), "cut at {cut}");
        }
        assert!(matches!(read(&folder.path().join("absent")), Err(TensorsError::Io { .. })));
    }
}
