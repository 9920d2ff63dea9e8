//! Attention as a whole, as Burn records its `attention` function; attention modules record their parts.

use burn_ir::AttentionOpIr;

use super::{Lowering, dims, number};
use crate::dims::Dim;
use crate::error::ExportError;
use crate::graph::{Binary, DType, Op, Unary, ValueId};

impl Lowering<'_> {
    /// `softmax(q k^T scale + bias) v` over `[batch, heads, queries, features]`; a query from which every key is hidden
    /// gives zeros.
    pub(super) fn attention(&mut self, ir: &AttentionOpIr) -> Result<(), ExportError> {
        let [query, key, value] = [&ir.query, &ir.key, &ir.value].map(|t| self.input(t));
        let (query, key, value) = (query?, key?, value?);
        let [queries, keys] = [&ir.query, &ir.key].map(|t| t.shape[2]);
        let mut scores_shape = dims(&ir.query);
        scores_shape[3] = Dim::from(keys);
        let mut turned = dims(&ir.key);
        turned.swap(2, 3);
        let turned = self.node(Op::Transpose { perm: vec![0, 1, 3, 2] }, vec![key], DType::F32, turned);
        let product = self.node(Op::MatMul, vec![query, turned], DType::F32, scores_shape.clone());
        let width = ir.query.shape[3] as f64;
        let scale = ir.options.scale.as_ref().map_or(1.0 / width.sqrt(), number);
        let scale = self.scalar(scale, product);
        let mut scores = self.combine(Binary::Mul, product, scale);
        if let Some(cap) = &ir.options.softcap {
            let cap = self.scalar(number(cap), scores);
            let share = self.combine(Binary::Div, scores, cap);
            let bounded = self.apply(Unary::Tanh, share);
            scores = self.combine(Binary::Mul, bounded, cap);
        }
        if let Some(bias) = &ir.attn_bias {
            let bias = self.input(bias)?;
            scores = self.combine(Binary::Add, scores, bias);
        }
        let mask = ir.mask.as_ref().map(|mask| self.input(mask)).transpose()?;
        let future = ir.options.is_causal.then(|| self.future(queries, keys));
        let hidden = match (mask, future) {
            (Some(mask), Some(future)) => Some(self.combine(Binary::Or, mask, future)),
            (mask, future) => mask.or(future),
        };
        // The smallest number instead of -inf, which would leave no number where every key is hidden.
        if let Some(hidden) = hidden {
            let low = self.scalar(f64::from(f32::MIN), scores);
            scores = self.node(Op::Where, vec![hidden, low, scores], DType::F32, scores_shape.clone());
        }
        let mut weights = self.node(Op::Softmax { axis: 3 }, vec![scores], DType::F32, scores_shape.clone());
        if let Some(hidden) = hidden {
            let zero = self.scalar(0.0, weights);
            weights = self.node(Op::Where, vec![hidden, zero, weights], DType::F32, scores_shape);
        }
        self.push(Op::MatMul, vec![weights, value], &ir.out)
    }

    /// Which keys come after each query, `[queries, keys]`; the last query sees every key.
    fn future(&mut self, queries: usize, keys: usize) -> ValueId {
        let [queries, keys] = [queries, keys].map(|n| n as i64);
        let (first, end) = (Dim::from(keys - queries), Dim::from(keys));
        let rows = Op::Range { start: first, end: end.clone(), step: 1 };
        let rows = self.node(rows, vec![], DType::I64, vec![Dim::from(queries)]);
        let column = vec![Dim::from(queries), Dim::from(1usize)];
        let rows = self.node(Op::Reshape { shape: column.clone() }, vec![rows], DType::I64, column);
        let columns = Op::Range { start: Dim::from(0usize), end, step: 1 };
        let columns = self.node(columns, vec![], DType::I64, vec![Dim::from(keys)]);
        self.combine(Binary::Greater, columns, rows)
    }
}
