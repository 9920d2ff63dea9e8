//! Assignment to a part of a tensor. A graph has no such thing: the result is put together from what was there before and
//! after the part. A recurrent layer assigns step by step, and its result is one concatenation of the steps.

use burn_ir::SliceAssignOpIr;

use super::{Lowering, dims};
use crate::dims::Dim;
use crate::error::ExportError;
use crate::graph::{DType, Op, SliceRange, ValueId};

/// What lies along an axis of a value, one after another.
pub(super) struct Pieces {
    axis: usize,
    parts: Vec<Part>,
}

/// Elements `from..to` of the result: those of `source` from `offset` on.
#[derive(Clone, Copy)]
struct Part {
    from: i64,
    to: i64,
    source: ValueId,
    offset: i64,
}

impl Part {
    /// What of the part lies in `from..to`.
    fn within(self, from: i64, to: i64) -> Option<Self> {
        let (start, end) = (self.from.max(from), self.to.min(to));
        (start < end).then(|| Self { from: start, to: end, offset: self.offset + start - self.from, ..self })
    }
}

impl Lowering<'_> {
    pub(super) fn slice_assign(&mut self, ir: &SliceAssignOpIr) -> Result<(), ExportError> {
        let (x, value) = (self.input(&ir.tensor)?, self.input(&ir.value)?);
        let mut assigned = Vec::new();
        for (axis, range) in ir.ranges.iter().enumerate() {
            let extent = ir.tensor.shape[axis] as i64;
            let from_front = |i: isize| if i < 0 { i as i64 + extent } else { i as i64 }.clamp(0, extent);
            if range.step != 1 {
                return Err(self.unsupported("SliceAssign with a step"));
            }
            let (start, end) = (from_front(range.start), range.end.map_or(extent, from_front));
            if (start, end) != (0, extent) {
                assigned.push((axis, start, end));
            }
        }
        let dtype = self.dtype(ir.out.dtype)?;
        let result = self.assign(x, value, &assigned, dtype);
        let shape = dims(&ir.out);
        debug_assert_eq!(self.graph.shape(result), shape);
        self.ids.insert(ir.out.id, result);
        Ok(())
    }

    /// `x` with `value` in the given ranges, an axis after the other.
    fn assign(&mut self, x: ValueId, value: ValueId, ranges: &[(usize, i64, i64)], dtype: DType) -> ValueId {
        let Some((&(axis, start, end), inner)) = ranges.split_first() else { return value };
        let value = if inner.is_empty() {
            value
        } else {
            let block = self.part(Part { from: start, to: end, source: x, offset: start }, axis, dtype);
            self.assign(block, value, inner, dtype)
        };
        let extent = extent(self.graph.shape(x), axis);
        let known = match self.assigned.get(&x) {
            Some(pieces) if pieces.axis == axis => pieces.parts.clone(),
            _ => vec![Part { from: 0, to: extent, source: x, offset: 0 }],
        };
        let before = known.iter().filter_map(|part| part.within(0, start));
        let after = known.iter().filter_map(|part| part.within(end, extent));
        let own = Part { from: start, to: end, source: value, offset: 0 };
        let parts: Vec<Part> = before.chain((start < end).then_some(own)).chain(after).collect();
        let operands = parts.iter().map(|&part| self.part(part, axis, dtype)).collect();
        let shape = self.graph.shape(x).to_vec();
        let result = self.node(Op::Concat { axis }, operands, dtype, shape);
        self.assigned.insert(result, Pieces { axis, parts });
        result
    }

    /// The elements of a part.
    fn part(&mut self, part: Part, axis: usize, dtype: DType) -> ValueId {
        let mut shape = self.graph.shape(part.source).to_vec();
        let length = part.to - part.from;
        if part.offset == 0 && extent(&shape, axis) == length {
            return part.source;
        }
        let range = SliceRange { axis, start: Dim::from(part.offset), end: Dim::from(part.offset + length), step: 1 };
        shape[axis] = Dim::from(length);
        self.node(Op::Slice { ranges: vec![range] }, vec![part.source], dtype, shape)
    }
}

/// An extent in a trace, where all are numbers.
fn extent(shape: &[Dim], axis: usize) -> i64 {
    shape[axis].fixed().unwrap_or_default()
}
