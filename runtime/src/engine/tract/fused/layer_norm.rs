//! LayerNorm over the last axis in one pass a row, where tract makes nine over the whole tensor.

use pulp::Arch;
use tract_linalg::multithread::par_chunks_mut;
use tract_onnx::tract_core::op_out_of_plan;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::math::Add;
use tract_onnx::tract_hir::internal::*;

use super::operator::{floats_as_first, shaped_as_first};
use super::rows::sum_of;

/// Floats `[.., width]`, scale `[width]`, bias `[width]` to floats of the first one's shape.
pub(super) fn layer_norm(epsilon: f32) -> Box<dyn InferenceOp> {
    expand(LayerNorm { epsilon: epsilon.to_bits(), sum: false })
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct LayerNorm {
    /// The float's bits, which can be compared.
    epsilon: u32,
    /// The first two inputs, of one shape, are to be added up.
    sum: bool,
}

/// The operands of a sum of equal shapes that is a node's first input, and is read by nothing else.
fn summands(model: &TypedModel, node: &TypedNode) -> TractResult<Option<[OutletId; 2]>> {
    let value = node.inputs[0];
    let sum = model.node(value.node);
    let is_sum = sum.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<Add>() && op.1.is_none());
    let read_once = sum.outputs[0].successors.len() == 1 && !model.outputs.contains(&value);
    match *sum.inputs.as_slice() {
        [left, right] if is_sum && read_once => {
            let same = model.outlet_fact(left)?.shape == model.outlet_fact(right)?.shape;
            Ok(same.then_some([left, right]))
        }
        _ => Ok(None),
    }
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` of each row, in place; with `residual`, of `x + residual`.
pub(super) fn normalize(rows: &mut [f32], residual: Option<&[f32]>, scale: &[f32], bias: &[f32], epsilon: f32) {
    let width = scale.len().max(1);
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (index, row) in rows.chunks_exact_mut(width).enumerate() {
                if let Some(residual) = residual {
                    let residual = &residual[index * width..][..width];
                    row.iter_mut().zip(residual).for_each(|(x, residual)| *x += residual);
                }
                let count = row.len() as f32;
                let mean = sum_of(row, |x| x) / count;
                let variance = sum_of(row, |x| (x - mean) * (x - mean)) / count;
                let inverse = 1.0 / (variance + epsilon).sqrt();
                for ((x, scale), bias) in row.iter_mut().zip(scale).zip(bias) {
                    *x = (*x - mean) * inverse * scale + bias;
                }
            }
        },
    );
}

impl Expansion for LayerNorm {
    fn name(&self) -> StaticName {
        "MbsdLayerNorm".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        shaped_as_first(s, inputs, outputs, 3)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let width = |index: usize| Ok::<_, TractError>(model.outlet_fact(inputs[index])?.shape.last().cloned());
        let (rows, scale, bias) = (width(0)?, width(1)?, width(2)?);
        ensure!(rows.is_some() && rows == scale && rows == bias, "scale and bias do not have the rows' width");
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl EvalOp for LayerNorm {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut rows = inputs.remove(0).into_tensor();
        let residual = if self.sum { Some(inputs.remove(0)) } else { None };
        let residual = residual.as_ref().map(|residual| residual.try_as_plain_ram()).transpose()?;
        let residual = residual.as_ref().map(|residual| residual.as_slice::<f32>()).transpose()?;
        let vector = |index: usize| inputs[index].try_as_plain_ram()?.as_slice::<f32>();
        let (scale, bias, epsilon) = (vector(0)?, vector(1)?, f32::from_bits(self.epsilon));
        let total = rows.len();
        if total > 0 {
            let mut values = rows.try_as_plain_ram_mut()?;
            par_chunks_mut(values.as_slice_mut::<f32>()?, scale.len(), total, |first, rows| {
                let start = first * scale.len();
                let residual = residual.map(|residual| &residual[start..start + rows.len()]);
                normalize(rows, residual, scale, bias, epsilon);
                Ok(())
            })?;
        }
        Ok(tvec!(rows.into_tvalue()))
    }
}

floats_as_first!(
    LayerNorm,
    "MbsdLayerNorm",
    /// Takes in the sum in front: that of a residual connection.
    fn declutter(&self, model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
        let Some(summands) = summands(model, node)?.filter(|_| !self.sum) else { return Ok(None) };
        let inputs = [&summands[..], &node.inputs[1..]].concat();
        TypedModelPatch::replace_single_op(model, node, &inputs, Self { sum: true, ..self.clone() }).map(Some)
    }
);
