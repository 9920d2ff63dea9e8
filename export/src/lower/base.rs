//! Operations on tensors of any type: shapes, selection, comparison, constants.

use burn_ir::{BaseOperationIr as Base, FlipOpIr, ReduceDimOpIr, ReduceOpIr};

use super::{Lowering, dims, number, variant_name};
use crate::dims::Dim;
use crate::error::ExportError;
use crate::graph::{Binary, DType, Op, Reduce, SliceRange, ValueId};

impl Lowering<'_> {
    pub(super) fn base(&mut self, op: &Base) -> Result<(), ExportError> {
        match op {
            Base::Reshape(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Reshape { shape: dims(&ir.out) }, vec![x], &ir.out)
            }
            Base::Expand(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Expand { shape: dims(&ir.out) }, vec![x], &ir.out)
            }
            Base::SwapDims(ir) => {
                let x = self.input(&ir.input)?;
                let mut perm: Vec<usize> = (0..ir.input.shape.num_dims()).collect();
                perm.swap(ir.dim1, ir.dim2);
                self.push(Op::Transpose { perm }, vec![x], &ir.out)
            }
            Base::Permute(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Transpose { perm: ir.axes.clone() }, vec![x], &ir.out)
            }
            Base::Slice(ir) => {
                let x = self.input(&ir.tensor)?;
                let mut ranges = Vec::new();
                for (axis, range) in ir.ranges.iter().enumerate() {
                    let extent = ir.tensor.shape[axis] as isize;
                    let from_front = |i: isize| if i < 0 { i + extent } else { i }.clamp(0, extent);
                    if range.step < 1 {
                        return Err(self.unsupported("Slice with a negative step"));
                    }
                    ranges.push(SliceRange {
                        axis,
                        start: Dim::from(from_front(range.start) as i64),
                        end: Dim::from(range.end.map_or(extent, from_front) as i64),
                        step: range.step as i64,
                    });
                }
                self.push(Op::Slice { ranges }, vec![x], &ir.out)
            }
            Base::Cat(ir) => {
                let parts = ir.tensors.iter().map(|t| self.input(t)).collect::<Result<Vec<_>, _>>()?;
                self.push(Op::Concat { axis: ir.dim }, parts, &ir.out)
            }
            Base::RepeatDim(ir) => {
                let x = self.input(&ir.tensor)?;
                self.push(Op::Tile { axis: ir.dim, times: Dim::from(ir.times) }, vec![x], &ir.out)
            }
            Base::Select(ir) => {
                let operands = vec![self.input(&ir.tensor)?, self.input(&ir.indices)?];
                self.push(Op::Gather { axis: ir.dim }, operands, &ir.out)
            }
            Base::Gather(ir) => {
                let operands = vec![self.input(&ir.tensor)?, self.input(&ir.indices)?];
                self.push(Op::GatherElements { axis: ir.dim }, operands, &ir.out)
            }
            Base::MaskWhere(ir) => {
                let operands = vec![self.input(&ir.mask)?, self.input(&ir.value)?, self.input(&ir.tensor)?];
                self.push(Op::Where, operands, &ir.out)
            }
            Base::MaskFill(ir) => {
                let (mask, x) = (self.input(&ir.mask)?, self.input(&ir.tensor)?);
                let value = self.scalar(number(&ir.value), x);
                self.push(Op::Where, vec![mask, value, x], &ir.out)
            }
            Base::Equal(ir) => self.binary(Binary::Equal, ir),
            Base::EqualElem(ir) => self.with_scalar(Binary::Equal, ir),
            Base::NotEqual(ir) => {
                self.binary(Binary::Equal, ir)?;
                self.not(&ir.out)
            }
            Base::NotEqualElem(ir) => {
                self.with_scalar(Binary::Equal, ir)?;
                self.not(&ir.out)
            }
            Base::Cast(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Cast, vec![x], &ir.out)
            }
            // The placeholder of an input or a parameter is recorded as an allocation; that one is what is meant.
            Base::Empty(ir) if self.ids.contains_key(&ir.out.id) => Ok(()),
            Base::Empty(ir) if self.trace.parameters.contains_key(&ir.out.id) => Ok(()),
            Base::Flip(ir) => self.flip(ir),
            Base::SliceAssign(ir) => self.slice_assign(ir),
            Base::All(ir) => self.truth_of_all(Reduce::Min, ir),
            Base::Any(ir) => self.truth_of_all(Reduce::Max, ir),
            Base::AllDim(ir) => self.truth(Reduce::Min, ir),
            Base::AnyDim(ir) => self.truth(Reduce::Max, ir),
            Base::Zeros(ir) | Base::Empty(ir) => {
                self.push(Op::Fill { shape: dims(&ir.out), value: 0.0 }, vec![], &ir.out)
            }
            Base::Ones(ir) => self.push(Op::Fill { shape: dims(&ir.out), value: 1.0 }, vec![], &ir.out),
            other => Err(self.unsupported(&variant_name(other))),
        }
    }

    /// An axis backwards: its elements gathered from the last to the first.
    fn flip(&mut self, ir: &FlipOpIr) -> Result<(), ExportError> {
        let mut x = self.input(&ir.input)?;
        let dtype = self.dtype(ir.out.dtype)?;
        for &axis in &ir.axes {
            let last = ir.input.shape[axis] as i64 - 1;
            let backwards = Op::Range { start: Dim::from(last), end: Dim::from(-1i64), step: -1 };
            let indices = self.node(backwards, vec![], DType::I64, vec![Dim::from(last + 1)]);
            x = self.node(Op::Gather { axis }, vec![x, indices], dtype, dims(&ir.out));
        }
        self.ids.insert(ir.out.id, x);
        Ok(())
    }

    /// Truth of elements as 0 and 1: a bool as it is, a number where it is not zero.
    fn zero_or_one(&mut self, x: ValueId) -> ValueId {
        let shape = self.graph.shape(x).to_vec();
        let truth = if self.graph.value(x).dtype == DType::Bool {
            x
        } else {
            self.node(Op::Cast, vec![x], DType::Bool, shape.clone())
        };
        self.node(Op::Cast, vec![truth], DType::I64, shape)
    }

    fn truth(&mut self, kind: Reduce, ir: &ReduceDimOpIr) -> Result<(), ExportError> {
        let x = self.input(&ir.input)?;
        let numbers = self.zero_or_one(x);
        let reduced = self.node(Op::Reduce { kind, axes: vec![ir.axis] }, vec![numbers], DType::I64, dims(&ir.out));
        self.push(Op::Cast, vec![reduced], &ir.out)
    }

    fn truth_of_all(&mut self, kind: Reduce, ir: &ReduceOpIr) -> Result<(), ExportError> {
        let x = self.input(&ir.input)?;
        let rank = ir.input.shape.num_dims();
        let numbers = self.zero_or_one(x);
        let all = Op::Reduce { kind, axes: (0..rank).collect() };
        let reduced = self.node(all, vec![numbers], DType::I64, vec![Dim::from(1usize); rank]);
        let flat = self.node(Op::Reshape { shape: dims(&ir.out) }, vec![reduced], DType::I64, dims(&ir.out));
        self.push(Op::Cast, vec![flat], &ir.out)
    }
}
