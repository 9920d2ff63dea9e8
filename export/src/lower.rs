//! From Burn's recorded operations to the compiler's graph, one trace at a time, extents still numbers.

use std::collections::HashMap;

use burn::tensor::DType as BurnDType;
use burn_capture::TensorId;
use burn_ir::{
    ActivationOperationIr as Activation, BaseOperationIr as Base, BinaryOpIr, BoolOperationIr as Bool,
    FloatOperationIr as Float, IntOperationIr as Int, ModuleOperationIr as Module, NumericOperationIr as Numeric,
    OperationIr, ReduceDimOpIr, ReduceOpIr, ScalarIr, ScalarOpIr, TensorIr, UnaryOpIr,
};

use crate::capture::{Trace, bytes_of};
use crate::dims::Dim;
use crate::error::ExportError;
use crate::graph::{Binary, DType, Graph, Node, Op, Reduce, SliceRange, Unary, ValueId, Weight};

/// Lowers one trace. Every node is named after nothing yet; [`crate::passes::names`] does that.
pub(crate) fn lower(trace: &Trace) -> Result<Graph, ExportError> {
    let mut lowering = Lowering { trace, graph: Graph::default(), ids: HashMap::new(), near: "none".to_owned() };
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
        let weight = if let Some(parameter) = self.trace.parameters.get(&id) {
            self.near = parameter.name.clone();
            parameter.as_ref().clone()
        } else {
            let data = self.trace.captured.values.get(&id)?;
            let dtype = self.dtype(data.dtype()).ok()?;
            Weight::inline(
                format!("constant_{}", self.graph.weights.len()),
                dtype,
                data.shape().to_vec(),
                bytes_of(data, dtype),
            )
        };
        let value = self.graph.add_weight(weight);
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

    fn base(&mut self, op: &Base) -> Result<(), ExportError> {
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
            // A parameter's placeholder is recorded as an allocation; the parameter is what is meant.
            Base::Empty(ir) if self.trace.parameters.contains_key(&ir.out.id) => Ok(()),
            Base::Zeros(ir) | Base::Empty(ir) => {
                self.push(Op::Fill { shape: dims(&ir.out), value: 0.0 }, vec![], &ir.out)
            }
            Base::Ones(ir) => self.push(Op::Fill { shape: dims(&ir.out), value: 1.0 }, vec![], &ir.out),
            other => Err(self.unsupported(&variant_name(other))),
        }
    }

    fn numeric(&mut self, op: &Numeric) -> Result<(), ExportError> {
        match op {
            Numeric::Add(ir) => self.binary(Binary::Add, ir),
            Numeric::AddScalar(ir) => self.with_scalar(Binary::Add, ir),
            Numeric::Sub(ir) => self.binary(Binary::Sub, ir),
            Numeric::SubScalar(ir) => self.with_scalar(Binary::Sub, ir),
            Numeric::Mul(ir) => self.binary(Binary::Mul, ir),
            Numeric::MulScalar(ir) => self.with_scalar(Binary::Mul, ir),
            Numeric::Div(ir) => self.binary(Binary::Div, ir),
            Numeric::DivScalar(ir) => self.with_scalar(Binary::Div, ir),
            Numeric::Greater(ir) => self.binary(Binary::Greater, ir),
            Numeric::GreaterElem(ir) => self.with_scalar(Binary::Greater, ir),
            Numeric::GreaterEqual(ir) => self.binary(Binary::GreaterOrEqual, ir),
            Numeric::GreaterEqualElem(ir) => self.with_scalar(Binary::GreaterOrEqual, ir),
            Numeric::Lower(ir) => self.binary(Binary::Less, ir),
            Numeric::LowerElem(ir) => self.with_scalar(Binary::Less, ir),
            Numeric::LowerEqual(ir) => self.binary(Binary::LessOrEqual, ir),
            Numeric::LowerEqualElem(ir) => self.with_scalar(Binary::LessOrEqual, ir),
            Numeric::Powi(ir) => self.binary(Binary::Pow, ir),
            Numeric::PowiScalar(ir) => self.with_scalar(Binary::Pow, ir),
            Numeric::ClampMin(ir) => self.with_scalar(Binary::Max, ir),
            Numeric::ClampMax(ir) => self.with_scalar(Binary::Min, ir),
            Numeric::Clamp(ir) => {
                let x = self.input(&ir.tensor)?;
                let (low, high) = (self.scalar(number(&ir.min), x), self.scalar(number(&ir.max), x));
                let dtype = self.dtype(ir.out.dtype)?;
                let raised = self.node(Op::Binary(Binary::Max), vec![x, low], dtype, dims(&ir.out));
                self.push(Op::Binary(Binary::Min), vec![raised, high], &ir.out)
            }
            Numeric::Abs(ir) => self.unary(Unary::Abs, ir),
            Numeric::Neg(ir) => self.unary(Unary::Neg, ir),
            Numeric::Sign(ir) => self.unary(Unary::Sign, ir),
            Numeric::Full(ir) => {
                self.push(Op::Fill { shape: dims(&ir.out), value: number(&ir.value) }, vec![], &ir.out)
            }
            Numeric::MeanDim(ir) => self.reduce(Reduce::Mean, ir),
            Numeric::SumDim(ir) => self.reduce(Reduce::Sum, ir),
            Numeric::ProdDim(ir) => self.reduce(Reduce::Prod, ir),
            Numeric::MaxDim(ir) => self.reduce(Reduce::Max, ir),
            Numeric::MinDim(ir) => self.reduce(Reduce::Min, ir),
            Numeric::SumDims(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Reduce { kind: Reduce::Sum, axes: ir.axes.clone() }, vec![x], &ir.out)
            }
            Numeric::Mean(ir) => self.reduce_all(Reduce::Mean, ir),
            Numeric::Sum(ir) => self.reduce_all(Reduce::Sum, ir),
            Numeric::Prod(ir) => self.reduce_all(Reduce::Prod, ir),
            Numeric::Max(ir) => self.reduce_all(Reduce::Max, ir),
            Numeric::Min(ir) => self.reduce_all(Reduce::Min, ir),
            other => Err(self.unsupported(&variant_name(other))),
        }
    }

    fn float(&mut self, op: &Float) -> Result<(), ExportError> {
        match op {
            Float::Exp(ir) => self.unary(Unary::Exp, ir),
            Float::Log(ir) => self.unary(Unary::Log, ir),
            Float::Erf(ir) => self.unary(Unary::Erf, ir),
            Float::Sqrt(ir) => self.unary(Unary::Sqrt, ir),
            Float::Sin(ir) => self.unary(Unary::Sin, ir),
            Float::Cos(ir) => self.unary(Unary::Cos, ir),
            Float::Tanh(ir) => self.unary(Unary::Tanh, ir),
            Float::Round(ir) => self.unary(Unary::Round, ir),
            Float::Floor(ir) => self.unary(Unary::Floor, ir),
            Float::Ceil(ir) => self.unary(Unary::Ceil, ir),
            Float::Recip(ir) => self.unary(Unary::Recip, ir),
            Float::PowfScalar(ir) => self.with_scalar(Binary::Pow, ir),
            Float::Powf(ir) => self.binary(Binary::Pow, ir),
            Float::IntoInt(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Cast, vec![x], &ir.out)
            }
            Float::Matmul(ir) => {
                let operands = vec![self.input(&ir.lhs)?, self.input(&ir.rhs)?];
                self.push(Op::MatMul, operands, &ir.out)
            }
            other => Err(self.unsupported(&variant_name(other))),
        }
    }

    fn int(&mut self, op: &Int) -> Result<(), ExportError> {
        match op {
            Int::IntoFloat(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Cast, vec![x], &ir.out)
            }
            other => Err(self.unsupported(&variant_name(other))),
        }
    }

    fn bool(&mut self, op: &Bool) -> Result<(), ExportError> {
        match op {
            Bool::IntoFloat(ir) | Bool::IntoInt(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Cast, vec![x], &ir.out)
            }
            Bool::Not(ir) => self.unary(Unary::Not, ir),
            Bool::And(ir) => self.binary(Binary::And, ir),
            Bool::Or(ir) => self.binary(Binary::Or, ir),
            other => Err(self.unsupported(&variant_name(other))),
        }
    }

    fn module(&mut self, op: &Module) -> Result<(), ExportError> {
        match op {
            Module::Embedding(ir) => {
                let operands = vec![self.input(&ir.weights)?, self.input(&ir.indices)?];
                self.push(Op::Gather { axis: 0 }, operands, &ir.out)
            }
            Module::Linear(ir) => {
                let (x, weight) = (self.input(&ir.x)?, self.input(&ir.weight)?);
                let Some(bias) = &ir.bias else { return self.push(Op::MatMul, vec![x, weight], &ir.out) };
                let product = self.node(Op::MatMul, vec![x, weight], DType::F32, dims(&ir.out));
                let bias = self.input(bias)?;
                self.push(Op::Binary(Binary::Add), vec![product, bias], &ir.out)
            }
            Module::Conv2d(ir) => {
                let mut operands = vec![self.input(&ir.x)?, self.input(&ir.weight)?];
                if let Some(bias) = &ir.bias {
                    operands.push(self.input(bias)?);
                }
                let o = &ir.options;
                let op = Op::Conv2d { strides: o.stride, pads: o.padding, dilations: o.dilation, groups: o.groups };
                self.push(op, operands, &ir.out)
            }
            Module::LayerNorm(ir) => {
                let mut operands = vec![self.input(&ir.input)?, self.input(&ir.gamma)?];
                if let Some(beta) = &ir.beta {
                    operands.push(self.input(beta)?);
                }
                self.push(Op::LayerNorm { epsilon: number(&ir.epsilon) as f32 }, operands, &ir.out)
            }
            other => Err(self.unsupported(&variant_name(other))),
        }
    }

    fn activation(&mut self, op: &Activation) -> Result<(), ExportError> {
        match op {
            Activation::Relu(ir) => self.unary(Unary::Relu, ir),
            Activation::Sigmoid(ir) => self.unary(Unary::Sigmoid, ir),
            Activation::Gelu(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Gelu, vec![x], &ir.out)
            }
            Activation::LeakyRelu(ir) => {
                let x = self.input(&ir.lhs)?;
                self.push(Op::LeakyRelu { alpha: number(&ir.rhs) as f32 }, vec![x], &ir.out)
            }
            Activation::Softmax(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Softmax { axis: ir.axis }, vec![x], &ir.out)
            }
            Activation::LogSoftmax(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::LogSoftmax { axis: ir.axis }, vec![x], &ir.out)
            }
            other => Err(self.unsupported(&variant_name(other))),
        }
    }
}

/// `MaxPool2d` of `MaxPool2d(MaxPool2dOpIr { .. })`.
fn variant_name(op: &impl std::fmt::Debug) -> String {
    let text = format!("{op:?}");
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}
