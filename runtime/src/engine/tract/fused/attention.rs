//! Attention of all heads in one operator, where tract packs, multiplies and makes passes over the scores of one head after
//! the other on one thread.

use std::borrow::Cow;

use tract_linalg::multithread::par_chunks_mut;
use tract_linalg::routines::Func;
use tract_onnx::tract_core::op_out_of_plan;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_ndarray::linalg::general_mat_mul;
use tract_onnx::tract_hir::tract_ndarray::{Array2, ArrayView4, ArrayViewMut2, Axis, s};

use super::operator::{floats_as_first, shaped_as_first};
use super::rows::{below_zero, shares};

/// Queries `[batch, queries, heads * width]`, keys and values `[batch, keys, heads * width]`, and where there is one a mask that
/// spreads to `[batch, heads, queries, keys]`, to `[batch, queries, heads * width]`: softmax(q k^T / divisor + mask) v of each head.
pub(super) fn attention(heads: usize, divisor: f32, masked: bool) -> Box<dyn InferenceOp> {
    expand(Attention { heads, divisor: divisor.to_bits(), masked })
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Attention {
    heads: usize,
    /// The float's bits, which can be compared.
    divisor: u32,
    masked: bool,
}

impl Attention {
    fn compute(&self, query: &Tensor, key: &Tensor, value: &Tensor, mask: Option<&Tensor>) -> TractResult<Tensor> {
        let mut output = Tensor::zero::<f32>(query.shape())?;
        let &[batch, queries, features] = query.shape() else { bail!("queries of shape {:?}", query.shape()) };
        let &[_, keys, _] = key.shape() else { bail!("keys of shape {:?}", key.shape()) };
        let (heads, width) = (self.heads, features / self.heads);
        if output.len() == 0 || keys == 0 {
            return Ok(output);
        }
        let (query, key, value) = (query.try_as_plain_ram()?, key.try_as_plain_ram()?, value.try_as_plain_ram()?);
        let query = ArrayView4::from_shape((batch, queries, heads, width), query.as_slice::<f32>()?)?;
        let key = ArrayView4::from_shape((batch, keys, heads, width), key.as_slice::<f32>()?)?;
        let value = ArrayView4::from_shape((batch, keys, heads, width), value.as_slice::<f32>()?)?;
        let mask = mask.map(Tensor::to_plain_array_view::<f32>).transpose()?;
        let mask = match &mask {
            Some(mask) => {
                Some(mask.broadcast((batch, heads, queries, keys)).context("the mask does not spread to the scores")?)
            }
            None => None,
        };
        let factor = 1.0 / f32::from_bits(self.divisor);
        let exponential = Func::Exp.ew_f32()?;

        // One block [queries, width] behind the other, so that threads can share them out.
        let mut blocks = vec![0f32; output.len()];
        par_chunks_mut(&mut blocks, queries * width, batch * heads * queries * keys, |first, blocks| {
            let mut scores = Array2::zeros((queries, keys));
            for (index, block) in blocks.chunks_exact_mut(queries * width).enumerate() {
                let (row, head) = ((first + index) / heads, (first + index) % heads);
                let keys = key.slice(s![row, .., head, ..]);
                general_mat_mul(1.0, &query.slice(s![row, .., head, ..]), &keys.t(), 0.0, &mut scores);
                for (index, mut scores) in scores.axis_iter_mut(Axis(0)).enumerate() {
                    let scores = scores.as_slice_mut().context("scores are not in one piece")?;
                    let mask = mask.as_ref().map(|mask| mask.slice(s![row, head, index, ..]));
                    let mask = mask.map(|mask| mask.to_slice().map_or_else(|| mask.to_vec().into(), Cow::Borrowed));
                    below_zero(scores, factor, mask.as_deref());
                }
                exponential.run(scores.as_slice_mut().context("scores are not in one piece")?)?;
                for mut scores in scores.axis_iter_mut(Axis(0)) {
                    shares(scores.as_slice_mut().context("scores are not in one piece")?);
                }
                let mut block = ArrayViewMut2::from_shape((queries, width), block)?;
                general_mat_mul(1.0, &scores, &value.slice(s![row, .., head, ..]), 0.0, &mut block);
            }
            Ok(())
        })?;
        join_heads(&blocks, &mut output, [queries, heads, width])?;
        Ok(output)
    }
}

/// `[batch, heads, queries, width]` to `[batch, queries, heads * width]`.
pub(super) fn join_heads(blocks: &[f32], output: &mut Tensor, [queries, heads, width]: [usize; 3]) -> TractResult<()> {
    let features = heads * width;
    let mut values = output.try_as_plain_ram_mut()?;
    par_chunks_mut(values.as_slice_mut::<f32>()?, features, blocks.len(), |first, tokens| {
        for (index, token) in tokens.chunks_exact_mut(features).enumerate() {
            let (row, query) = ((first + index) / queries, (first + index) % queries);
            for (head, values) in token.chunks_exact_mut(width).enumerate() {
                let block = ((row * heads + head) * queries + query) * width;
                values.copy_from_slice(&blocks[block..block + width]);
            }
        }
        Ok(())
    })
}

impl Expansion for Attention {
    fn name(&self) -> StaticName {
        "MbsdAttention".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        shaped_as_first(s, inputs, outputs, 3 + usize::from(self.masked))
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let shape = |index: usize| Ok::<_, TractError>(model.outlet_fact(inputs[index])?.shape.to_tvec());
        let (query, key, value) = (shape(0)?, shape(1)?, shape(2)?);
        ensure!(query.len() == 3 && key.len() == 3 && key == value, "attention of {query:?}, {key:?}, {value:?}");
        ensure!(
            query[0] == key[0] && query[2] == key[2],
            "keys {key:?} do not have the rows and features of {query:?}"
        );
        let features = query[2].to_usize()?;
        ensure!(features % self.heads == 0, "{features} features cannot be split into {} heads", self.heads);
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl EvalOp for Attention {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mask = inputs.get(3).map(|mask| &**mask);
        Ok(tvec!(self.compute(&inputs[0], &inputs[1], &inputs[2], mask)?.into_tvalue()))
    }
}

floats_as_first!(Attention, "MbsdAttention");
