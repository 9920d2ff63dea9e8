//! Softmax over the last axis, each row by itself: tract's own takes the exponentials of several rows together, and their last bit then
//! hangs on where in memory a row lies.

use tract_linalg::multithread::par_chunks_mut;
use tract_linalg::routines::Func;
use tract_onnx::tract_core::op_out_of_plan;
use tract_onnx::tract_hir::internal::*;

use super::operator::{floats_as_first, shaped_as_first};
use super::rows::{below_zero, shares};

/// Floats of any shape to the same.
pub(super) fn softmax() -> Box<dyn InferenceOp> {
    expand(Softmax)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Softmax;

impl Expansion for Softmax {
    fn name(&self) -> StaticName {
        "MbsdSoftmax".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        shaped_as_first(s, inputs, outputs, 1)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        ensure!(model.outlet_fact(inputs[0])?.rank() > 0, "softmax of a number");
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl EvalOp for Softmax {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut rows = inputs.remove(0).into_tensor();
        let (width, total) = (rows.shape().last().copied().unwrap_or(1), rows.len());
        if total > 0 {
            let exponential = Func::Exp.ew_f32()?;
            let mut values = rows.try_as_plain_ram_mut()?;
            par_chunks_mut(values.as_slice_mut::<f32>()?, width, total, |_, rows: &mut [f32]| {
                rows.chunks_exact_mut(width).for_each(|row| below_zero(row, 1.0, None));
                exponential.run(rows)?;
                rows.chunks_exact_mut(width).for_each(shares);
                Ok(())
            })?;
        }
        Ok(tvec!(rows.into_tvalue()))
    }
}

floats_as_first!(Softmax, "MbsdSoftmax");
