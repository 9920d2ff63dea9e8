//! Mixed precision: what is computed in bfloat16, and what never is.
//!
//! Parameters are single precision always. With [`Arithmetic::Bf16`] the patchify network and the encoder compute in
//! bfloat16: a linear map takes the type of its input, and casts its parameters for the product. LayerNorm and softmax,
//! sums of residual connections, embeddings, pooler, heads and losses stay in single precision.

use burn::nn::Linear;
use burn::tensor::{DType, FloatDType, Tensor};

/// What the patchify network and the encoder compute in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arithmetic {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16, where range matters more than digits.
    Bf16,
}

impl Arithmetic {
    /// A tensor on its way into what computes in this arithmetic.
    pub(crate) fn enter<const D: usize>(self, tensor: Tensor<D>) -> Tensor<D> {
        match self {
            Self::F32 => tensor,
            Self::Bf16 => tensor.cast(FloatDType::BF16),
        }
    }
}

/// In single precision.
pub(crate) fn single<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    like(tensor, DType::F32)
}

/// In another tensor's type. A cast to the same type would still be recorded in a captured graph.
pub(crate) fn like<const D: usize>(tensor: Tensor<D>, dtype: DType) -> Tensor<D> {
    if tensor.dtype() == dtype { tensor } else { tensor.cast(FloatDType::from(dtype)) }
}

/// A linear map of `[..., inputs]` to `[..., outputs]`, in the type of the input.
pub(crate) fn linear<const D: usize>(map: &Linear, input: Tensor<D>) -> Tensor<D> {
    match input.dtype() {
        DType::F32 => map.forward(input),
        dtype => {
            let bias = map.bias.as_ref().map(|bias| like(bias.val(), dtype));
            burn::tensor::module::linear(input, like(map.weight.val(), dtype), bias)
        }
    }
}
