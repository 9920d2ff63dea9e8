//! Attention of tags over a product that was read before them and over themselves, in one operator: tract would multiply, join and cut
//! a matrix for every tag and head by itself.

use pulp::Arch;
use tract_linalg::multithread::par_chunks_mut;
use tract_linalg::routines::Func;
use tract_onnx::tract_core::op_out_of_plan;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_ndarray::linalg::general_mat_mul;
use tract_onnx::tract_hir::tract_ndarray::{Array2, ArrayView4, ArrayViewMut2, s};

use super::attention::join_heads;
use super::operator::{floats_as_first, shaped_as_first};
use super::rows::{below_zero, dot, shares};

/// Inputs of [`one_way_attention`], in this order; the last one may be left out.
pub(super) const INPUTS: usize = 7;

/// Queries `[batch, tags * asking, heads * width]`; keys and values of the tags' own tokens, `[batch, tags * text, heads * width]`, and of the
/// context, `[batch, context, heads * width]`; masks of the tags' tokens, `[batch, 1, tags, 1, text]`, and where there is one of the context,
/// `[batch, 1, 1, context]`. To the shape of the queries: for each head and query softmax(q k^T / divisor + mask) v over the context and
/// the tag's own tokens together.
pub(super) fn one_way_attention(heads: usize, divisor: f32, masked: bool) -> Box<dyn InferenceOp> {
    expand(OneWayAttention { heads, divisor: divisor.to_bits(), masked })
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OneWayAttention {
    heads: usize,
    /// The float's bits, which can be compared.
    divisor: u32,
    /// Whether there is a mask of the context.
    masked: bool,
}

impl OneWayAttention {
    fn compute(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let mut output = Tensor::zero::<f32>(inputs[0].shape())?;
        let &[batch, queries, features] = inputs[0].shape() else { bail!("queries of shape {:?}", inputs[0].shape()) };
        let &[_, context, _] = inputs[3].shape() else { bail!("keys of shape {:?}", inputs[3].shape()) };
        let &[_, 1, tags, 1, text] = inputs[5].shape() else { bail!("a mask of shape {:?}", inputs[5].shape()) };
        let (heads, width) = (self.heads, features / self.heads);
        if output.len() == 0 {
            return Ok(output);
        }
        let asking = queries / tags;
        let plain = inputs.iter().map(|input| input.try_as_plain_ram()).collect::<TractResult<Vec<_>>>()?;
        let floats = plain.iter().map(|input| input.as_slice::<f32>()).collect::<TractResult<Vec<_>>>()?;
        let split = |input: usize, tokens: usize| ArrayView4::from_shape((batch, tokens, heads, width), floats[input]);
        let query = split(0, queries)?;
        // One head's part of a tag's token.
        let own = |input: usize, row: usize, token: usize, head: usize| {
            &floats[input][((row * tags * text + token) * heads + head) * width..][..width]
        };
        let asks = |row: usize, query: usize, head: usize| {
            &floats[0][((row * queries + query) * heads + head) * width..][..width]
        };
        let (key, value) = (split(3, context)?, split(4, context)?);
        let own_mask = floats[5];
        let factor = 1.0 / f32::from_bits(self.divisor);
        let exponential = Func::Exp.ew_f32()?;

        // One block [queries, width] behind the other, so that threads can share them out.
        let mut blocks = vec![0f32; output.len()];
        let work = batch * heads * queries * (context + text);
        par_chunks_mut(&mut blocks, queries * width, work, |first, blocks| {
            let mut scores = Array2::<f32>::zeros((queries, context + text));
            let mut mask = vec![0f32; context + text];
            for (index, block) in blocks.chunks_exact_mut(queries * width).enumerate() {
                let (row, head) = ((first + index) / heads, (first + index) % heads);
                if let Some(hidden) = floats.get(6) {
                    mask[..context].copy_from_slice(&hidden[row * context..(row + 1) * context]);
                }
                let seen = key.slice(s![row, .., head, ..]);
                let over_context = &mut scores.slice_mut(s![.., ..context]);
                general_mat_mul(1.0, &query.slice(s![row, .., head, ..]), &seen.t(), 0.0, over_context);
                let all = scores.as_slice_mut().context("scores are not in one piece")?;
                for (place, scores) in all.chunks_exact_mut(context + text).enumerate() {
                    let tag = place / asking;
                    let asks = asks(row, place, head);
                    // A tag's tokens are few: no product of matrices is worth its beginning.
                    Arch::new().dispatch(
                        #[inline(always)]
                        || {
                            for (token, score) in scores[context..].iter_mut().enumerate() {
                                *score = dot(asks, own(1, row, tag * text + token, head));
                            }
                        },
                    );
                    if place % asking == 0 {
                        mask[context..].copy_from_slice(&own_mask[(row * tags + tag) * text..][..text]);
                    }
                    below_zero(scores, factor, Some(&mask));
                }
                exponential.run(all)?;
                all.chunks_exact_mut(context + text).for_each(shares);
                let of_context = &value.slice(s![row, .., head, ..]);
                let mut gathered = ArrayViewMut2::from_shape((queries, width), &mut *block)?;
                general_mat_mul(1.0, &scores.slice(s![.., ..context]), of_context, 0.0, &mut gathered);
                let all = scores.as_slice().context("scores are not in one piece")?;
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        let queries = block.chunks_exact_mut(width).zip(all.chunks_exact(context + text));
                        for (place, (gathered, shares)) in queries.enumerate() {
                            let first = place / asking * text;
                            for (token, share) in shares[context..].iter().enumerate() {
                                let values = own(2, row, first + token, head);
                                gathered.iter_mut().zip(values).for_each(|(sum, value)| *sum += share * value);
                            }
                        }
                    },
                );
            }
            Ok(())
        })?;
        join_heads(&blocks, &mut output, [queries, heads, width])?;
        Ok(output)
    }
}

impl Expansion for OneWayAttention {
    fn name(&self) -> StaticName {
        "MbsdOneWayAttention".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        shaped_as_first(s, inputs, outputs, INPUTS - usize::from(!self.masked))
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let shape = |index: usize| Ok::<_, TractError>(model.outlet_fact(inputs[index])?.shape.to_tvec());
        let (query, own, own_value, context, value, own_mask) =
            (shape(0)?, shape(1)?, shape(2)?, shape(3)?, shape(4)?, shape(5)?);
        ensure!(
            [&query, &own, &context].iter().all(|shape| shape.len() == 3) && own == own_value && context == value,
            "attention of {query:?} over {context:?} and {own:?}"
        );
        let same = |shape: &TVec<TDim>| shape[0] == query[0] && shape[2] == query[2];
        ensure!(same(&own) && same(&context), "keys do not have the rows and features of {query:?}");
        let one = TDim::from(1);
        ensure!(
            matches!(own_mask.as_slice(), [batch, a, tags, b, text]
                if *batch == query[0] && *a == one && *b == one && tags.clone() * text == own[1]),
            "a mask {own_mask:?} of {own:?}"
        );
        if self.masked {
            let mask = shape(6)?;
            ensure!(
                mask.as_slice() == [query[0].clone(), one.clone(), one, context[1].clone()],
                "a mask {mask:?} of {context:?}"
            );
        }
        let features = query[2].to_usize()?;
        ensure!(features % self.heads == 0, "{features} features cannot be split into {} heads", self.heads);
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl EvalOp for OneWayAttention {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec!(self.compute(&inputs)?.into_tvalue()))
    }
}

floats_as_first!(OneWayAttention, "MbsdOneWayAttention");
