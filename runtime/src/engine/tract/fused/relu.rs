//! ReLU in one pass, in place, where tract takes the larger of each value and a tensor that holds 0.

use tract_onnx::tract_core::element_wise;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::element_wise::ElementWiseIntoHir;

/// Values of any shape to the same; half precision is widened before.
pub(super) fn relu() -> Box<dyn InferenceOp> {
    rectified().into_hir()
}

// What is not a number stays so.
element_wise!(rectified, Rectified,
    [f32] => |_, values| {
        values.iter_mut().for_each(|value| if *value < 0.0 { *value = 0.0 });
        Ok(())
    },
    [f64] => |_, values| {
        values.iter_mut().for_each(|value| if *value < 0.0 { *value = 0.0 });
        Ok(())
    },
    [i8, i16, i32, i64] => |_, values| {
        values.iter_mut().for_each(|value| *value = (*value).max(0));
        Ok(())
    }
);
