//! Plain tensors, the currency between batches, engines and files.

use std::collections::BTreeMap;

/// Tensors by name: the inputs or the outputs of a graph.
pub type NamedTensors = BTreeMap<String, Tensor>;

/// A dense row-major tensor on the host.
#[derive(Debug, Clone, PartialEq)]
pub enum Tensor {
    /// 32-bit floats.
    F32 {
        /// Extent of each axis.
        shape: Vec<usize>,
        /// Values, last axis fastest.
        data: Vec<f32>,
    },
    /// 64-bit integers.
    I64 {
        /// Extent of each axis.
        shape: Vec<usize>,
        /// Values, last axis fastest.
        data: Vec<i64>,
    },
}

/// A tensor whose value count does not fit its shape.
#[derive(Debug, thiserror::Error)]
#[error("a tensor of shape {shape:?} takes {expected} values, not {given}")]
pub struct ShapeError {
    shape: Vec<usize>,
    expected: usize,
    given: usize,
}

impl ShapeError {
    pub(crate) fn new(shape: &[usize], given: usize) -> Self {
        Self { shape: shape.to_vec(), expected: shape.iter().product(), given }
    }
}

fn check(shape: &[usize], given: usize) -> Result<(), ShapeError> {
    if shape.iter().product::<usize>() == given { Ok(()) } else { Err(ShapeError::new(shape, given)) }
}

impl Tensor {
    /// A float tensor.
    ///
    /// # Errors
    /// If `data` does not hold exactly the product of `shape`.
    pub fn f32(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self, ShapeError> {
        let shape = shape.into();
        check(&shape, data.len())?;
        Ok(Self::F32 { shape, data })
    }

    /// An integer tensor.
    ///
    /// # Errors
    /// If `data` does not hold exactly the product of `shape`.
    pub fn i64(shape: impl Into<Vec<usize>>, data: Vec<i64>) -> Result<Self, ShapeError> {
        let shape = shape.into();
        check(&shape, data.len())?;
        Ok(Self::I64 { shape, data })
    }

    /// Extent of each axis.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::F32 { shape, .. } | Self::I64 { shape, .. } => shape,
        }
    }

    /// The element type as manifests write it.
    pub fn dtype(&self) -> &'static str {
        match self {
            Self::F32 { .. } => "float32",
            Self::I64 { .. } => "int64",
        }
    }

    /// The values of a float tensor, `None` for another type.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match self {
            Self::F32 { data, .. } => Some(data),
            Self::I64 { .. } => None,
        }
    }

    /// The values of an integer tensor, `None` for another type.
    pub fn as_i64(&self) -> Option<&[i64]> {
        match self {
            Self::I64 { data, .. } => Some(data),
            Self::F32 { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_count_must_fit_the_shape() {
        assert!(Tensor::f32([2, 3], vec![0.0; 6]).is_ok());
        let error = Tensor::i64([2, 3], vec![0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "a tensor of shape [2, 3] takes 6 values, not 5");
    }
}
