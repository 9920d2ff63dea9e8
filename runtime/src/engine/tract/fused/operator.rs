//! What operators over floats tell tract of themselves alike.

use tract_onnx::tract_hir::internal::*;

/// So many floats in, floats of the first one's shape out.
pub(super) fn shaped_as_first<'r>(
    s: &mut Solver<'r>,
    inputs: &'r [TensorProxy],
    outputs: &'r [TensorProxy],
    arity: usize,
) -> InferenceResult {
    check_input_arity(inputs, arity)?;
    check_output_arity(outputs, 1)?;
    for tensor in inputs.iter().chain(outputs) {
        s.equals(&tensor.datum_type, f32::datum_type())?;
    }
    s.equals(&inputs[0].shape, &outputs[0].shape)
}

/// An operator's name, and its one output: floats of the first input's shape. What follows goes into its `TypedOp`.
macro_rules! floats_as_first {
    ($operator:ty, $name:literal $(, $further:item)*) => {
        impl Op for $operator {
            fn name(&self) -> StaticName {
                $name.into()
            }

            tract_onnx::tract_core::op_as_typed_op!();
        }

        impl TypedOp for $operator {
            fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
                Ok(tvec!(f32::fact(inputs[0].shape.clone())))
            }

            $($further)*

            tract_onnx::tract_core::as_op!();
        }
    };
}
pub(super) use floats_as_first;
