//! ReLU in one pass, in place, where tract takes the larger of each value and a tensor that holds 0.

use tract_onnx::tract_core::element_wise;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::element_wise::ElementWiseIntoHir;

/// Values of any type and shape to the same.
pub(super) fn relu() -> Box<dyn InferenceOp> {
    rectified().into_hir()
}

// What is not a number stays so.
element_wise!(rectified, Rectified,
    [f32] => |_, values| {
        values.iter_mut().for_each(|value| if *value < 0.0 { *value = 0.0 });
        Ok(())
    },
    [f16] => |_, values| {
        values.iter_mut().for_each(|value| if *value < f16::ZERO { *value = f16::ZERO });
        Ok(())
    }
);
