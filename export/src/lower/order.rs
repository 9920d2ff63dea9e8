//! Operations about the order of elements along an axis, and padding.

use burn_ir::{
    PadModeIr, PadOpIr, ReduceDimOpIr, ReduceDimWithIndicesOpIr, SortOpIr, SortWithIndicesOpIr, TensorIr,
    TopKWithIndicesOpIr,
};

use super::{Lowering, number};
use crate::dims::Dim;
use crate::error::ExportError;
use crate::graph::{AxisPads, Op, Padding, Reduce};

impl Lowering<'_> {
    pub(super) fn arg_reduce(&mut self, largest: bool, ir: &ReduceDimOpIr) -> Result<(), ExportError> {
        let x = self.input(&ir.input)?;
        self.push(Op::ArgReduce { axis: ir.axis, largest }, vec![x], &ir.out)
    }

    /// The largest or smallest element along an axis, and its index.
    pub(super) fn extreme(&mut self, largest: bool, ir: &ReduceDimWithIndicesOpIr) -> Result<(), ExportError> {
        let x = self.input(&ir.tensor)?;
        let kind = if largest { Reduce::Max } else { Reduce::Min };
        self.push(Op::Reduce { kind, axes: vec![ir.dim] }, vec![x], &ir.out)?;
        self.push(Op::ArgReduce { axis: ir.dim, largest }, vec![x], &ir.out_indices)
    }

    fn ordered(
        &mut self,
        x: &TensorIr,
        (axis, largest, indices): (usize, bool, bool),
        out: &TensorIr,
    ) -> Result<(), ExportError> {
        let x = self.input(x)?;
        self.push(Op::TopK { axis, k: Dim::from(out.shape[axis]), largest, indices }, vec![x], out)
    }

    pub(super) fn top_k(&mut self, indices: bool, ir: &ReduceDimOpIr) -> Result<(), ExportError> {
        self.ordered(&ir.input, (ir.axis, true, indices), &ir.out)
    }

    pub(super) fn top_k_with_indices(&mut self, ir: &TopKWithIndicesOpIr) -> Result<(), ExportError> {
        self.ordered(&ir.tensor, (ir.dim, true, false), &ir.out)?;
        self.ordered(&ir.tensor, (ir.dim, true, true), &ir.out_indices)
    }

    pub(super) fn sort(&mut self, indices: bool, ir: &SortOpIr) -> Result<(), ExportError> {
        self.ordered(&ir.input, (ir.dim, ir.descending, indices), &ir.out)
    }

    pub(super) fn sort_with_indices(&mut self, ir: &SortWithIndicesOpIr) -> Result<(), ExportError> {
        self.ordered(&ir.input, (ir.dim, ir.descending, false), &ir.out)?;
        self.ordered(&ir.input, (ir.dim, ir.descending, true), &ir.out_indices)
    }

    pub(super) fn pad(&mut self, ir: &PadOpIr) -> Result<(), ExportError> {
        let x = self.input(&ir.input)?;
        let pads = ir
            .padding
            .iter()
            .map(|&(before, after)| AxisPads { before: Dim::from(before), after: Dim::from(after) })
            .collect();
        let padding = match ir.mode {
            PadModeIr::Constant(value) => Padding::Constant(number(&value)),
            PadModeIr::Edge => Padding::Edge,
            PadModeIr::Reflect => Padding::Reflect,
        };
        self.push(Op::Pad { pads, padding }, vec![x], &ir.out)
    }
}
