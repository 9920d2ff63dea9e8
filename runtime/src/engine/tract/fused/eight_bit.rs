//! Around 8-bit products: bytes and scales of tokens, floats of products.

use tract_onnx::tract_core::{as_op, op_as_typed_op, op_out_of_plan};
use tract_onnx::tract_hir::internal::*;

/// Steps of a token's range on each side of 0.
pub(super) const LEVELS: f32 = 127.0;

/// The least magnitude that a scale is made of.
pub(super) const SMALLEST: f32 = 1e-30;

/// Added to a small number, it leaves the nearest integer, ties to even, in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Activations `[.., width]` to bytes of the same shape and scales `[.., 1]`.
pub(super) fn quantize_tokens() -> Box<dyn InferenceOp> {
    expand(QuantizeTokens)
}

/// Integers `[.., width]`, columns `[width]`, scales `[.., 1]`, and where it has one a bias `[width]`, to floats `[.., width]`.
pub(super) fn scale_products(bias: bool) -> Box<dyn InferenceOp> {
    expand(ScaleProducts { bias })
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct QuantizeTokens;

/// See [`quantize_tokens`]. A value that is no number makes the scale of its token none.
pub(super) fn quantize(x: &[f32], width: usize, bytes: &mut [i8], scales: &mut [f32]) {
    let tokens = x.chunks_exact(width.max(1)).zip(bytes.chunks_exact_mut(width.max(1)));
    for ((x, bytes), scale) in tokens.zip(scales) {
        // Without their sign, floats are ordered as their bits are, and NaN is above all.
        let largest = x.iter().fold(0, |largest, value| largest.max((value.to_bits() & 0x7fff_ffff) as i32));
        let magnitude = f32::from_bits(largest as u32);
        let magnitude = if magnitude < SMALLEST { SMALLEST } else { magnitude };
        *scale = magnitude / LEVELS;
        let inverse = LEVELS / magnitude;
        for (byte, value) in bytes.iter_mut().zip(x) {
            let rounded = (value * inverse + ROUND).to_bits();
            *byte = rounded.wrapping_sub(ROUND.to_bits()) as i8;
        }
    }
}

impl Expansion for QuantizeTokens {
    fn name(&self) -> StaticName {
        "QuantizeTokens".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(2)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 2)?;
        s.equals(&inputs[0].datum_type, f32::datum_type())?;
        s.equals(&outputs[0].datum_type, i8::datum_type())?;
        s.equals(&outputs[1].datum_type, f32::datum_type())?;
        s.equals(&inputs[0].shape, &outputs[0].shape)?;
        s.given(&inputs[0].shape, |s, mut shape| {
            if let Some(last) = shape.last_mut() {
                *last = 1.to_dim();
            }
            s.equals(&outputs[1].shape, shape)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for QuantizeTokens {
    fn name(&self) -> StaticName {
        "QuantizeTokens".into()
    }

    op_as_typed_op!();
}

impl EvalOp for QuantizeTokens {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut shape: TVec<usize> = inputs[0].shape().into();
        let mut bytes = Tensor::zero::<i8>(&shape)?;
        let width = shape.last().copied().unwrap_or(1);
        if let Some(last) = shape.last_mut() {
            *last = 1;
        }
        let mut scales = Tensor::zero::<f32>(&shape)?;
        quantize(
            inputs[0].try_as_plain_ram()?.as_slice::<f32>()?,
            width,
            bytes.try_as_plain_ram_mut()?.as_slice_mut::<i8>()?,
            scales.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?,
        );
        Ok(tvec!(bytes.into_tvalue(), scales.into_tvalue()))
    }
}

impl TypedOp for QuantizeTokens {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = inputs[0].shape.to_tvec();
        let bytes = i8::fact(shape.as_slice());
        if let Some(last) = shape.last_mut() {
            *last = 1.to_dim();
        }
        Ok(tvec!(bytes, f32::fact(shape.as_slice())))
    }

    as_op!();
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ScaleProducts {
    bias: bool,
}

/// See [`scale_products`].
pub(super) fn scale(integers: &[i32], columns: &[f32], scales: &[f32], bias: Option<&[f32]>, floats: &mut [f32]) {
    let width = columns.len().max(1);
    let tokens = integers.chunks_exact(width).zip(floats.chunks_exact_mut(width));
    for ((integers, floats), scale) in tokens.zip(scales) {
        let products = floats.iter_mut().zip(integers).zip(columns);
        match bias {
            Some(bias) => {
                for (((float, integer), column), bias) in products.zip(bias) {
                    *float = *integer as f32 * column * scale + bias;
                }
            }
            None => {
                for ((float, integer), column) in products {
                    *float = *integer as f32 * column * scale;
                }
            }
        }
    }
}

impl Expansion for ScaleProducts {
    fn name(&self) -> StaticName {
        "ScaleProducts".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 3 + usize::from(self.bias))?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, i32::datum_type())?;
        for input in &inputs[1..] {
            s.equals(&input.datum_type, f32::datum_type())?;
        }
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        s.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for ScaleProducts {
    fn name(&self) -> StaticName {
        "ScaleProducts".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ScaleProducts {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut floats = Tensor::zero::<f32>(inputs[0].shape())?;
        let vector = |index: usize| inputs[index].try_as_plain_ram()?.as_slice::<f32>();
        let bias = if self.bias { Some(vector(3)?) } else { None };
        let integers = inputs[0].try_as_plain_ram()?.as_slice::<i32>()?;
        scale(integers, vector(1)?, vector(2)?, bias, floats.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?);
        Ok(tvec!(floats.into_tvalue()))
    }
}

impl TypedOp for ScaleProducts {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }

    as_op!();
}
