//! Constant tensors.

use std::fmt;
use std::sync::Arc;

use super::DType;

/// A constant tensor, known by its content.
#[derive(Clone)]
pub struct Weight {
    /// After the module path: `encoder.layer.3.attention.query.weight`.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Vec<usize>,
    content: Content,
}

/// Little-endian elements, in memory or still where the module keeps them.
#[derive(Clone)]
enum Content {
    Inline(Arc<[u8]>),
    Deferred(Arc<dyn Fn() -> Vec<u8> + Send + Sync>),
}

impl Weight {
    /// A constant held in memory, as little-endian bytes.
    pub fn inline(name: impl Into<String>, dtype: DType, shape: Vec<usize>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), dtype, shape, content: Content::Inline(bytes.into()) }
    }

    /// A constant read from its source each time its bytes are asked for, so that a graph of a large model
    /// does not hold the model a second time.
    pub fn deferred(
        name: impl Into<String>,
        dtype: DType,
        shape: Vec<usize>,
        read: impl Fn() -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), dtype, shape, content: Content::Deferred(Arc::new(read)) }
    }

    /// The elements, little-endian.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.content {
            Content::Inline(bytes) => bytes.to_vec(),
            Content::Deferred(read) => read(),
        }
    }

    /// Size in a file.
    pub fn byte_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// Whether the bytes lie in memory: true of small constants, false of module parameters.
    pub fn is_inline(&self) -> bool {
        matches!(self.content, Content::Inline(_))
    }

    /// Where a parameter is read from, in memory: what was reshaped has the place of what it was made of.
    pub(crate) fn source(&self) -> Option<usize> {
        match &self.content {
            Content::Inline(_) => None,
            Content::Deferred(read) => Some(Arc::as_ptr(read).cast::<()>() as usize),
        }
    }

    /// The same elements in another shape of the same size.
    pub fn reshaped(&self, shape: Vec<usize>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), self.shape.iter().product::<usize>());
        Self { shape, ..self.clone() }
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Weight({} {} {:?})", self.name, self.dtype.name(), self.shape)
    }
}
