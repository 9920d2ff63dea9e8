//! From the compiler's operations to ONNX nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::SQRT_2;

use super::proto::{
    AttributeProto, DimensionProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto, attribute_type, data_type,
};
use crate::dims::Dim;
use crate::graph::{Binary, DType, Graph, Node, Op, Reduce, Unary, ValueId, Weight};

/// The graph without its initializers, and the initializers in file order.
pub(super) struct Emitted {
    pub(super) graph: GraphProto,
    pub(super) initializers: Vec<Weight>,
}

pub(super) fn emit(graph: &Graph, name: &str) -> Emitted {
    let mut emitter = Emitter::new(graph);
    for node in &graph.nodes {
        emitter.node(node);
    }
    emitter.outputs();
    let info = |name: &str, id: ValueId| value_info(graph, name, id);
    let proto = GraphProto {
        node: emitter.nodes,
        name: name.to_owned(),
        initializer: Vec::new(),
        input: graph.inputs.iter().map(|(name, id)| info(name, *id)).collect(),
        output: graph.outputs.iter().map(|(name, id)| info(name, *id)).collect(),
    };
    Emitted { graph: proto, initializers: emitter.initializers }
}

/// Writes nodes one by one, and keeps what was already written to be used again.
pub(super) struct Emitter<'a> {
    pub(super) graph: &'a Graph,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) sizes: BTreeMap<Dim, String>,
    pub(super) constants: BTreeMap<String, String>,
    /// Results that were written together with another node's.
    pub(super) written: BTreeSet<ValueId>,
    names: BTreeMap<ValueId, String>,
    initializers: Vec<Weight>,
}

impl<'a> Emitter<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut names = BTreeMap::new();
        names.extend(graph.inputs.iter().map(|(name, id)| (*id, name.clone())));
        names.extend(graph.weights.iter().map(|(id, weight)| (*id, weight.name.clone())));
        names.extend(graph.nodes.iter().map(|node| (node.output, node.name.clone())));
        for (name, id) in &graph.outputs {
            if !graph.weights.contains_key(id) && !graph.inputs.iter().any(|(_, input)| input == id) {
                names.insert(*id, name.clone());
            }
        }
        Self {
            graph,
            nodes: Vec::new(),
            sizes: BTreeMap::new(),
            constants: BTreeMap::new(),
            written: BTreeSet::new(),
            names,
            initializers: graph.weights.values().cloned().collect(),
        }
    }

    pub(super) fn name(&self, id: ValueId) -> String {
        self.names.get(&id).cloned().unwrap_or_default()
    }

    /// An output that is an input, a weight, or another output under a second name is copied to its name.
    fn outputs(&mut self) {
        for (name, id) in &self.graph.outputs {
            let source = self.name(*id);
            if source != *name {
                self.push("Identity", &format!("{name}.identity"), vec![source], name.clone(), vec![]);
            }
        }
    }

    /// Writes a node and returns the name of its result.
    pub(super) fn push(
        &mut self,
        op_type: &str,
        name: &str,
        input: Vec<String>,
        output: String,
        attribute: Vec<AttributeProto>,
    ) -> String {
        self.push_all(op_type, name, input, vec![output.clone()], attribute);
        output
    }

    /// Writes a node with several results.
    pub(super) fn push_all(
        &mut self,
        op_type: &str,
        name: &str,
        input: Vec<String>,
        output: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) {
        self.nodes.push(NodeProto { input, output, name: name.to_owned(), op_type: op_type.to_owned(), attribute });
    }

    /// A constant initializer, written once for each distinct content.
    pub(super) fn constant(&mut self, name: String, dtype: DType, shape: Vec<usize>, bytes: Vec<u8>) -> String {
        let key = format!("{dtype:?} {shape:?} {bytes:?}");
        if let Some(known) = self.constants.get(&key) {
            return known.clone();
        }
        self.constants.insert(key, name.clone());
        self.initializers.push(Weight::inline(name.clone(), dtype, shape, bytes));
        name
    }

    /// A constant vector of integers.
    pub(super) fn ints(&mut self, values: &[i64]) -> String {
        let text: Vec<String> = values.iter().map(i64::to_string).collect();
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(format!("ints.{}", text.join("_")), DType::I64, vec![values.len()], bytes)
    }

    /// A constant of a float type, in single precision for any other.
    pub(super) fn float(&mut self, value: f64, dtype: DType) -> String {
        match dtype {
            DType::F16 => {
                let bytes = half::f16::from_f64(value).to_le_bytes().to_vec();
                self.constant(format!("half.{value}"), DType::F16, Vec::new(), bytes)
            }
            _ => self.constant(format!("float.{value}"), DType::F32, Vec::new(), (value as f32).to_le_bytes().to_vec()),
        }
    }

    fn node(&mut self, node: &Node) {
        let inputs: Vec<String> = node.inputs.iter().map(|id| self.name(*id)).collect();
        let output = self.name(node.output);
        let simple = |this: &mut Self, op_type: &str, attributes: Vec<AttributeProto>| {
            this.push(op_type, &node.name, inputs.clone(), output.clone(), attributes);
        };
        match &node.op {
            Op::MatMul => simple(self, "MatMul", vec![]),
            Op::Unary(op) => simple(self, unary_name(*op), vec![]),
            Op::Binary(op) => simple(self, binary_name(*op), vec![]),
            Op::Gelu => self.gelu(&node.name, &inputs[0], output, self.graph.value(node.output).dtype),
            Op::LeakyRelu { alpha } => simple(self, "LeakyRelu", vec![float_attribute("alpha", *alpha)]),
            Op::Cast => {
                let to = onnx_type(self.graph.value(node.output).dtype);
                simple(self, "Cast", vec![int_attribute("to", i64::from(to))]);
            }
            Op::Transpose { perm } => {
                let perm: Vec<i64> = perm.iter().map(|&a| a as i64).collect();
                simple(self, "Transpose", vec![ints_attribute("perm", perm)]);
            }
            Op::Concat { axis } => simple(self, "Concat", vec![int_attribute("axis", *axis as i64)]),
            Op::Gather { axis } => simple(self, "Gather", vec![int_attribute("axis", *axis as i64)]),
            Op::GatherElements { axis } => simple(self, "GatherElements", vec![int_attribute("axis", *axis as i64)]),
            Op::Where => simple(self, "Where", vec![]),
            Op::LayerNorm { epsilon } => {
                simple(
                    self,
                    "LayerNormalization",
                    vec![int_attribute("axis", -1), float_attribute("epsilon", *epsilon)],
                );
            }
            Op::Softmax { axis } => {
                let axis = self.axis_from_back(node, *axis);
                simple(self, "Softmax", vec![int_attribute("axis", axis)]);
            }
            Op::LogSoftmax { axis } => {
                let axis = self.axis_from_back(node, *axis);
                simple(self, "LogSoftmax", vec![int_attribute("axis", axis)]);
            }
            Op::Conv { .. }
            | Op::ConvTranspose { .. }
            | Op::Pool { .. }
            | Op::Resize { .. }
            | Op::Pad { .. }
            | Op::BatchNorm { .. } => self.spatial(node, inputs, output),
            Op::CumSum { .. } | Op::TopK { .. } | Op::ArgReduce { .. } | Op::Range { .. } => {
                self.order(node, inputs, output);
            }
            Op::Reduce { kind, axes } => {
                let axes: Vec<i64> = axes.iter().map(|&a| a as i64).collect();
                let keep = int_attribute("keepdims", 1);
                if *kind == Reduce::Sum {
                    let axes = self.ints(&axes);
                    self.push("ReduceSum", &node.name, vec![inputs[0].clone(), axes], output, vec![keep]);
                } else {
                    let op_type = format!("Reduce{kind:?}");
                    self.push(&op_type, &node.name, inputs, output, vec![ints_attribute("axes", axes), keep]);
                }
            }
            Op::Reshape { shape } => {
                let shape = self.reshape_target(node, shape);
                self.push("Reshape", &node.name, vec![inputs[0].clone(), shape], output, vec![]);
            }
            Op::Expand { shape } => {
                let shape = self.expand_target(node, shape);
                self.push("Expand", &node.name, vec![inputs[0].clone(), shape], output, vec![]);
            }
            Op::Tile { axis, times } => {
                let rank = self.graph.shape(node.output).len();
                let repeats: Vec<Dim> =
                    (0..rank).map(|a| if a == *axis { times.clone() } else { Dim::from(1usize) }).collect();
                let repeats = self.sizes(&node.name, &repeats);
                self.push("Tile", &node.name, vec![inputs[0].clone(), repeats], output, vec![]);
            }
            Op::Slice { ranges } => self.slice(node, &inputs[0], output, ranges),
            Op::Fill { shape, value } => {
                let dtype = self.graph.value(node.output).dtype;
                let shape = self.sizes(&node.name, shape);
                let raw_data = match dtype {
                    DType::F32 => (*value as f32).to_le_bytes().to_vec(),
                    DType::F16 => half::f16::from_f64(*value).to_le_bytes().to_vec(),
                    DType::I64 => (*value as i64).to_le_bytes().to_vec(),
                    DType::Bool => vec![u8::from(*value != 0.0)],
                };
                let value = TensorProto { dims: vec![1], data_type: onnx_type(dtype), raw_data, ..Default::default() };
                let attribute = AttributeProto {
                    name: "value".to_owned(),
                    t: Some(value),
                    r#type: attribute_type::TENSOR,
                    ..Default::default()
                };
                self.push("ConstantOfShape", &node.name, vec![shape], output, vec![attribute]);
            }
        }
    }

    fn axis_from_back(&self, node: &Node, axis: usize) -> i64 {
        axis as i64 - self.graph.shape(node.output).len() as i64
    }

    /// The decomposition that ONNX Runtime fuses to `Gelu` and tract recognises.
    fn gelu(&mut self, name: &str, x: &str, output: String, dtype: DType) {
        let [sqrt_2, one, half] = [SQRT_2, 1.0, 0.5].map(|value| self.float(value, dtype));
        let part = |label: &str| format!("{name}.{label}");
        let scaled = self.push("Div", &part("div"), vec![x.to_owned(), sqrt_2], part("div"), vec![]);
        let erf = self.push("Erf", &part("erf"), vec![scaled], part("erf"), vec![]);
        let sum = self.push("Add", &part("add"), vec![erf, one], part("add"), vec![]);
        let product = self.push("Mul", &part("mul"), vec![x.to_owned(), sum], part("mul"), vec![]);
        self.push("Mul", name, vec![product, half], output, vec![]);
    }
}

fn unary_name(op: Unary) -> &'static str {
    match op {
        Unary::Abs => "Abs",
        Unary::Acos => "Acos",
        Unary::Acosh => "Acosh",
        Unary::Asin => "Asin",
        Unary::Asinh => "Asinh",
        Unary::Atan => "Atan",
        Unary::Atanh => "Atanh",
        Unary::Ceil => "Ceil",
        Unary::Cos => "Cos",
        Unary::Cosh => "Cosh",
        Unary::Erf => "Erf",
        Unary::Exp => "Exp",
        Unary::Floor => "Floor",
        Unary::IsInf => "IsInf",
        Unary::IsNan => "IsNaN",
        Unary::Log => "Log",
        Unary::Neg => "Neg",
        Unary::Not => "Not",
        Unary::Recip => "Reciprocal",
        Unary::Relu => "Relu",
        Unary::Round => "Round",
        Unary::Sigmoid => "Sigmoid",
        Unary::Sign => "Sign",
        Unary::Sin => "Sin",
        Unary::Sinh => "Sinh",
        Unary::Softplus => "Softplus",
        Unary::Sqrt => "Sqrt",
        Unary::Tan => "Tan",
        Unary::Tanh => "Tanh",
    }
}

fn binary_name(op: Binary) -> &'static str {
    match op {
        Binary::Add => "Add",
        Binary::And => "And",
        Binary::Div => "Div",
        Binary::Equal => "Equal",
        Binary::Greater => "Greater",
        Binary::GreaterOrEqual => "GreaterOrEqual",
        Binary::Less => "Less",
        Binary::LessOrEqual => "LessOrEqual",
        Binary::Max => "Max",
        Binary::Min => "Min",
        Binary::Mod => "Mod",
        Binary::Mul => "Mul",
        Binary::Or => "Or",
        Binary::PRelu => "PRelu",
        Binary::Pow => "Pow",
        Binary::Sub => "Sub",
        Binary::Xor => "Xor",
    }
}

pub(super) fn onnx_type(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => data_type::FLOAT,
        DType::F16 => data_type::FLOAT16,
        DType::I64 => data_type::INT64,
        DType::Bool => data_type::BOOL,
    }
}

pub(super) fn int_attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: Some(value), r#type: attribute_type::INT, ..Default::default() }
}

pub(super) fn float_attribute(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), f: Some(value), r#type: attribute_type::FLOAT, ..Default::default() }
}

pub(super) fn ints_attribute(name: &str, values: Vec<i64>) -> AttributeProto {
    AttributeProto { name: name.to_owned(), ints: values, r#type: attribute_type::INTS, ..Default::default() }
}

/// Only plain symbols are written: an engine that reads `text + 50` as one more symbol would refuse a concrete input.
fn value_info(graph: &Graph, name: &str, id: ValueId) -> ValueInfoProto {
    let dim = graph
        .shape(id)
        .iter()
        .map(|dim| DimensionProto {
            dim_value: dim.fixed(),
            dim_param: dim.as_symbol().map(|symbol| graph.symbols[symbol].clone()),
        })
        .collect();
    let tensor_type =
        TensorTypeProto { elem_type: onnx_type(graph.value(id).dtype), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}
