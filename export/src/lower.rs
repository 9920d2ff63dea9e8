//! From Burn's recorded operations to the compiler's graph, one trace at a time, extents still numbers.

mod arithmetic;
mod assign;
mod attention;
mod base;
mod module;
mod order;
mod spatial;

use std::collections::HashMap;

use burn::tensor::{DType as BurnDType, TensorData};
use burn_capture::TensorId;
use burn_ir::{BinaryOpIr, OperationIr, ReduceDimOpIr, ReduceOpIr, ScalarIr, ScalarOpIr, TensorIr, UnaryOpIr};

use crate::capture::{Trace, bytes_of};
use crate::dims::Dim;
use crate::error::ExportError;
use crate::graph::{Binary, DType, Graph, Node, Op, Reduce, Unary, ValueId, Weight};

use assign::Pieces;

/// Lowers one trace. Every node is named after nothing yet; [`crate::passes::names`] does that.
pub(crate) fn lower(trace: &Trace) -> Result<Graph, ExportError> {
    let mut lowering = Lowering {
        trace,
        graph: Graph::default(),
        ids: HashMap::new(),
        assigned: HashMap::new(),
        near: "none".to_owned(),
    };
    for (name, dtype, shape, id) in &trace.inputs {
        let value = lowering.graph.add_value(*dtype, shape.iter().map(|&d| Dim::from(d)).collect());
        lowering.graph.inputs.push((name.clone(), value));
        if let Some(id) = id {
            lowering.ids.insert(*id, value);
        }
    }
    for operation in &trace.captured.graph.operations {
        lowering.operation(operation)?;
    }
    for (name, id) in &trace.outputs {
        let value = lowering.known(*id).ok_or_else(|| {
            ExportError::Boundary(format!("output `{name}` is neither computed nor a parameter nor an input"))
        })?;
        lowering.graph.outputs.push((name.clone(), value));
    }
    Ok(lowering.graph)
}

struct Lowering<'a> {
    trace: &'a Trace,
    graph: Graph,
    ids: HashMap<TensorId, ValueId>,
    /// What values that were assigned to in parts consist of.
    assigned: HashMap<ValueId, Pieces>,
    near: String,
}

fn dims(tensor: &TensorIr) -> Vec<Dim> {
    tensor.shape.iter().map(|&d| Dim::from(d)).collect()
}

fn number(scalar: &ScalarIr) -> f64 {
    match *scalar {
        ScalarIr::Float(x) => x,
        ScalarIr::Int(x) => x as f64,
        ScalarIr::UInt(x) => x as f64,
        ScalarIr::Bool(x) => f64::from(u8::from(x)),
    }
}

impl Lowering<'_> {
    fn dtype(&self, dtype: BurnDType) -> Result<DType, ExportError> {
        match dtype {
            BurnDType::F32 => Ok(DType::F32),
            BurnDType::I64 | BurnDType::I32 => Ok(DType::I64),
            BurnDType::Bool(_) => Ok(DType::Bool),
            other => Err(self.unsupported(&format!("a tensor of type {other:?}"))),
        }
    }

    fn unsupported(&self, operation: &str) -> ExportError {
        ExportError::Unsupported { operation: operation.to_owned(), near: self.near.clone() }
    }

    /// The value behind a Burn tensor that is no input and was not computed: a parameter or a constant.
    fn known(&mut self, id: TensorId) -> Option<ValueId> {
        if let Some(&value) = self.ids.get(&id) {
            return Some(value);
        }
        let value = if let Some(parameter) = self.trace.parameters.get(&id) {
            self.near = parameter.name.clone();
            self.graph.add_weight(parameter.as_ref().clone())
        } else {
            let data = self.trace.captured.values.get(&id)?;
            let dtype = self.dtype(data.dtype()).ok()?;
            match steps(data, dtype) {
                Some((op, length)) => self.node(op, vec![], dtype, vec![Dim::from(length)]),
                None => self.graph.add_weight(Weight::inline(
                    format!("constant_{}", self.graph.weights.len()),
                    dtype,
                    data.shape().to_vec(),
                    bytes_of(data, dtype),
                )),
            }
        };
        self.ids.insert(id, value);
        Some(value)
    }

    fn input(&mut self, tensor: &TensorIr) -> Result<ValueId, ExportError> {
        self.known(tensor.id)
            .ok_or_else(|| ExportError::Capture(format!("tensor {} is read before it is computed", tensor.id)))
    }

    fn push(&mut self, op: Op, inputs: Vec<ValueId>, out: &TensorIr) -> Result<(), ExportError> {
        let dtype = self.dtype(out.dtype)?;
        let output = self.node(op, inputs, dtype, dims(out));
        self.ids.insert(out.id, output);
        Ok(())
    }

    fn node(&mut self, op: Op, inputs: Vec<ValueId>, dtype: DType, shape: Vec<Dim>) -> ValueId {
        let output = self.graph.add_value(dtype, shape);
        self.graph.nodes.push(Node { name: String::new(), op, inputs, output });
        output
    }

    /// A constant of rank 0 in the type of `like`.
    fn scalar(&mut self, value: f64, like: ValueId) -> ValueId {
        let dtype = self.graph.value(like).dtype;
        let bytes = match dtype {
            DType::F32 => (value as f32).to_le_bytes().to_vec(),
            DType::F16 => half::f16::from_f64(value).to_le_bytes().to_vec(),
            DType::I64 => (value as i64).to_le_bytes().to_vec(),
            DType::Bool => vec![u8::from(value != 0.0)],
        };
        self.graph.add_weight(Weight::inline(format!("scalar_{value}"), dtype, Vec::new(), bytes))
    }

    /// An element-wise operation in the type and shape of its operand.
    fn apply(&mut self, op: Unary, x: ValueId) -> ValueId {
        let value = self.graph.value(x).clone();
        self.node(Op::Unary(op), vec![x], value.dtype, value.shape)
    }

    /// An element-wise operation of two operands, one of which may be stretched to the other.
    fn combine(&mut self, op: Binary, a: ValueId, b: ValueId) -> ValueId {
        let dtype = if op.compares() { DType::Bool } else { self.graph.value(a).dtype };
        let [a_shape, b_shape] = [a, b].map(|id| self.graph.shape(id));
        let rank = a_shape.len().max(b_shape.len());
        let one = Dim::from(1usize);
        let from_back = |shape: &[Dim], i: usize| shape.len().checked_sub(i).map_or(one.clone(), |i| shape[i].clone());
        let shape = (1..=rank).rev().map(|i| match from_back(a_shape, i) {
            extent if extent == one => from_back(b_shape, i),
            extent => extent,
        });
        let shape = shape.collect();
        self.node(Op::Binary(op), vec![a, b], dtype, shape)
    }

    fn unary(&mut self, op: Unary, ir: &UnaryOpIr) -> Result<(), ExportError> {
        let x = self.input(&ir.input)?;
        self.push(Op::Unary(op), vec![x], &ir.out)
    }

    fn binary(&mut self, op: Binary, ir: &BinaryOpIr) -> Result<(), ExportError> {
        let operands = vec![self.input(&ir.lhs)?, self.input(&ir.rhs)?];
        self.push(Op::Binary(op), operands, &ir.out)
    }

    fn with_scalar(&mut self, op: Binary, ir: &ScalarOpIr) -> Result<(), ExportError> {
        let x = self.input(&ir.lhs)?;
        let scalar = self.scalar(number(&ir.rhs), x);
        self.push(Op::Binary(op), vec![x, scalar], &ir.out)
    }

    fn not(&mut self, ir_out: &TensorIr) -> Result<(), ExportError> {
        let equal = self.ids[&ir_out.id];
        self.push(Op::Unary(Unary::Not), vec![equal], ir_out)
    }

    fn reduce(&mut self, kind: Reduce, ir: &ReduceDimOpIr) -> Result<(), ExportError> {
        let x = self.input(&ir.input)?;
        self.push(Op::Reduce { kind, axes: vec![ir.axis] }, vec![x], &ir.out)
    }

    fn reduce_all(&mut self, kind: Reduce, ir: &ReduceOpIr) -> Result<(), ExportError> {
        let x = self.input(&ir.input)?;
        let rank = self.graph.shape(x).len();
        let dtype = self.dtype(ir.out.dtype)?;
        let reduced =
            self.node(Op::Reduce { kind, axes: (0..rank).collect() }, vec![x], dtype, vec![Dim::from(1usize); rank]);
        self.push(Op::Reshape { shape: dims(&ir.out) }, vec![reduced], &ir.out)
    }

    fn operation(&mut self, operation: &OperationIr) -> Result<(), ExportError> {
        match operation {
            OperationIr::BaseFloat(op) | OperationIr::BaseInt(op) | OperationIr::BaseBool(op) => self.base(op),
            OperationIr::NumericFloat(_, op) | OperationIr::NumericInt(_, op) => self.numeric(op),
            OperationIr::Float(_, op) => self.float(op),
            OperationIr::Int(op) => self.int(op),
            OperationIr::Bool(op) => self.bool(op),
            OperationIr::Module(op) => self.module(op),
            OperationIr::Activation(op) => self.activation(op),
            OperationIr::Init(_) | OperationIr::Drop(_) => Ok(()),
            OperationIr::Custom(op) => Err(self.unsupported(&op.id)),
            OperationIr::Distributed(op) => Err(self.unsupported(&variant_name(op))),
        }
    }
}

/// The operation's name in Burn's intermediate representation: `MaxPool2d`.
pub(crate) fn operation_name(operation: &OperationIr) -> String {
    match operation {
        OperationIr::BaseFloat(op) | OperationIr::BaseInt(op) | OperationIr::BaseBool(op) => variant_name(op),
        OperationIr::NumericFloat(_, op) | OperationIr::NumericInt(_, op) => variant_name(op),
        OperationIr::Float(_, op) => variant_name(op),
        OperationIr::Int(op) => variant_name(op),
        OperationIr::Bool(op) => variant_name(op),
        OperationIr::Module(op) => variant_name(op),
        OperationIr::Activation(op) => variant_name(op),
        OperationIr::Distributed(op) => variant_name(op),
        OperationIr::Custom(op) => op.id.clone(),
        OperationIr::Init(_) => "Init".to_owned(),
        OperationIr::Drop(_) => "Drop".to_owned(),
    }
}

/// `MaxPool2d` of `MaxPool2d(MaxPool2dOpIr { .. })`.
fn variant_name(op: &impl std::fmt::Debug) -> String {
    let text = format!("{op:?}");
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}

/// The numbers of an arithmetic sequence, where a constant is one. Burn records `arange` as its numbers, and their count may
/// depend on a named size.
fn steps(data: &TensorData, dtype: DType) -> Option<(Op, usize)> {
    if dtype != DType::I64 || data.shape().num_dims() != 1 {
        return None;
    }
    let values: Vec<i64> = data.iter::<i64>().collect();
    let (&first, &second) = (values.first()?, values.get(1)?);
    let step = second - first;
    let even = step != 0 && values.windows(2).all(|pair| pair[1] - pair[0] == step);
    let length = values.len();
    let end = first + step * length as i64;
    even.then(|| (Op::Range { start: Dim::from(first), end: Dim::from(end), step }, length))
}
