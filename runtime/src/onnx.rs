//! Reading what is in an ONNX file, without its weights: for `mbsd inspect`.

mod multiply_adds;
mod polynomial;
mod proto;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use mbsd_spec::bundle::{DimSpec, TensorSpec};
use prost::Message;
use serde::Serialize;

pub use multiply_adds::MultiplyAdds;
pub use polynomial::Polynomial;

use crate::engine::{self, EngineError, shape_text};

/// A graph file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bytes are not an ONNX model.
    #[error("{} is not an ONNX graph", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: prost::DecodeError,
    },
    /// The model has no graph.
    #[error("{} holds no ONNX graph", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The contents of a graph file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Graph {
    /// The graph's name.
    pub name: String,
    /// Program and version that wrote it.
    pub producer: String,
    /// Version of the file format.
    pub ir_version: i64,
    /// Operator set versions by domain; `ai.onnx` is the default one.
    pub opsets: BTreeMap<String, i64>,
    /// Inputs in graph order.
    pub inputs: Vec<TensorSpec>,
    /// Outputs in graph order.
    pub outputs: Vec<TensorSpec>,
    /// Operations in the order in which they are computed.
    pub nodes: Vec<Node>,
    /// Constants in file order.
    pub initializers: Vec<Initializer>,
    /// Known shapes of tensors between nodes: stated by the file, or inferred by [`Graph::infer_shapes`].
    pub between: Vec<TensorSpec>,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Node {
    /// Its name, after the module it comes from.
    pub name: String,
    /// The operator, with its domain where that is not the default one.
    pub op: String,
    /// Tensors it reads; an empty name is an optional input left out.
    pub inputs: Vec<String>,
    /// Tensors it writes.
    pub outputs: Vec<String>,
    /// Attributes as text.
    pub attributes: BTreeMap<String, String>,
}

/// A constant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Initializer {
    /// Its name.
    pub name: String,
    /// Element type, such as `float32`.
    pub dtype: String,
    /// Extent of each axis.
    pub shape: Vec<i64>,
    /// Size of its values.
    pub bytes: u64,
    /// The file that holds the values where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<String>,
}

impl Graph {
    /// Reads a graph file. Weights are skipped over.
    ///
    /// # Errors
    /// See [`OnnxError`].
    pub fn read(path: &Path) -> Result<Self, OnnxError> {
        let bytes = std::fs::read(path).map_err(|source| OnnxError::Io { path: path.to_owned(), source })?;
        let model = proto::Model::decode(bytes.as_slice())
            .map_err(|source| OnnxError::Format { path: path.to_owned(), source })?;
        let graph = model.graph.ok_or_else(|| OnnxError::Empty { path: path.to_owned() })?;
        let initializers: Vec<Initializer> = graph.initializer.iter().map(initializer).collect();
        let inner = |name: &str| initializers.iter().any(|initializer| initializer.name == name);
        Ok(Self {
            name: graph.name,
            producer: format!("{} {}", model.producer_name, model.producer_version).trim().to_owned(),
            ir_version: model.ir_version,
            opsets: model.opset_import.into_iter().map(|set| (domain(set.domain), set.version)).collect(),
            inputs: graph.input.iter().filter(|input| !inner(&input.name)).map(spec).collect(),
            outputs: graph.output.iter().map(spec).collect(),
            nodes: graph.node.into_iter().map(node).collect(),
            initializers,
            between: graph.value_info.iter().map(spec).collect(),
        })
    }

    /// Adds the shapes that follow from the inputs' symbols.
    ///
    /// # Errors
    /// If the graph in `path` is not one that tract reads; nothing is added then.
    pub fn infer_shapes(&mut self, path: &Path) -> Result<(), EngineError> {
        let known: Vec<String> = self.shapes().into_keys().map(str::to_owned).collect();
        let inferred = engine::inferred_shapes(path)?;
        self.between.extend(inferred.into_iter().filter(|spec| !known.contains(&spec.name)));
        Ok(())
    }

    /// The graph for reading: one line an input, output, node and initializer.
    pub fn text(&self) -> String {
        let opsets = self.opsets.iter().map(|(domain, version)| format!("{domain} {version}"));
        let mut text = format!(
            "graph {} (opset {}; IR version {}; by {})\n",
            self.name,
            opsets.collect::<Vec<_>>().join(", "),
            self.ir_version,
            self.producer
        );
        let specs = |text: &mut String, title: &str, specs: &[TensorSpec]| {
            let _ = writeln!(text, "{title}");
            for spec in specs {
                let _ = writeln!(text, "  {} {} {}", spec.name, spec.dtype, shape_text(&spec.shape));
            }
        };
        specs(&mut text, "inputs", &self.inputs);
        specs(&mut text, "outputs", &self.outputs);
        let shapes = self.shapes();
        let tensor = |name: &String| match shapes.get(name.as_str()) {
            Some(shape) => format!("{name} {shape}"),
            None if name.is_empty() => "-".to_owned(),
            None => name.clone(),
        };
        let list = |names: &[String]| names.iter().map(tensor).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "nodes ({})", self.nodes.len());
        for node in &self.nodes {
            let _ = write!(text, "  {} = {}", node.name, node.op);
            if !node.attributes.is_empty() {
                let one = |(name, value): (&String, &String)| format!("{name}={value}");
                let _ = write!(text, "{{{}}}", node.attributes.iter().map(one).collect::<Vec<_>>().join(", "));
            }
            let _ = writeln!(text, "({}) -> {}", list(&node.inputs), list(&node.outputs));
        }
        let total: u64 = self.initializers.iter().map(|initializer| initializer.bytes).sum();
        let _ = writeln!(text, "initializers ({}, {total} bytes)", self.initializers.len());
        for initializer in &self.initializers {
            let Initializer { name, dtype, shape, bytes, external } = initializer;
            let _ = write!(text, "  {name} {dtype} {shape:?} {bytes} bytes");
            if let Some(file) = external {
                let _ = write!(text, " in {file}");
            }
            text.push('\n');
        }
        text
    }

    /// Known shapes as text, by tensor.
    fn shapes(&self) -> BTreeMap<&str, String> {
        let stated = self.inputs.iter().chain(&self.outputs).chain(&self.between);
        let constants = self.initializers.iter().map(|one| (one.name.as_str(), format!("{:?}", one.shape)));
        stated.map(|spec| (spec.name.as_str(), shape_text(&spec.shape))).chain(constants).collect()
    }
}

fn domain(name: String) -> String {
    if name.is_empty() { "ai.onnx".to_owned() } else { name }
}

fn spec(info: &proto::ValueInfo) -> TensorSpec {
    let tensor = info.kind.as_ref().and_then(|kind| kind.tensor.as_ref());
    let dim = |dim: &proto::Dimension| match (dim.value, &dim.param) {
        (Some(extent), _) if extent >= 0 => DimSpec::Fixed(extent as usize),
        (_, Some(symbol)) if !symbol.is_empty() => DimSpec::Symbol(symbol.clone()),
        _ => DimSpec::Symbol("?".to_owned()),
    };
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref()).map_or(&[][..], |shape| &shape.dim);
    TensorSpec {
        name: info.name.clone(),
        dtype: dtype_name(tensor.map_or(0, |tensor| tensor.elem_type)).to_owned(),
        shape: shape.iter().map(dim).collect(),
    }
}

fn initializer(tensor: &proto::Tensor) -> Initializer {
    let elements: u64 = tensor.dims.iter().map(|&dim| u64::try_from(dim).unwrap_or(0)).product();
    let location = tensor.external_data.iter().find(|entry| entry.key == "location");
    Initializer {
        name: tensor.name.clone(),
        dtype: dtype_name(tensor.data_type).to_owned(),
        shape: tensor.dims.clone(),
        bytes: elements.saturating_mul(dtype_bits(tensor.data_type)).div_ceil(8),
        external: location.map(|entry| entry.value.clone()),
    }
}

fn node(node: proto::Node) -> Node {
    let op = if node.domain.is_empty() { node.op_type } else { format!("{}:{}", node.domain, node.op_type) };
    Node {
        name: node.name,
        op,
        inputs: node.input,
        outputs: node.output,
        attributes: node.attribute.iter().map(|attribute| (attribute.name.clone(), value(attribute))).collect(),
    }
}

/// An attribute's value as text; a tensor or a graph is only named.
fn value(attribute: &proto::Attribute) -> String {
    match attribute.kind {
        1 => attribute.f.to_string(),
        2 => attribute.i.to_string(),
        3 => format!("{:?}", String::from_utf8_lossy(&attribute.s)),
        4 => match &attribute.t {
            Some(tensor) => format!("{} {:?}", dtype_name(tensor.data_type), tensor.dims),
            None => "tensor".to_owned(),
        },
        5 => "graph".to_owned(),
        6 => format!("{:?}", attribute.floats),
        7 => format!("{:?}", attribute.ints),
        _ => "...".to_owned(),
    }
}

/// The name of an ONNX element type as manifests write it.
pub(crate) fn dtype_name(code: i32) -> &'static str {
    match code {
        1 => "float32",
        2 => "uint8",
        3 => "int8",
        4 => "uint16",
        5 => "int16",
        6 => "int32",
        7 => "int64",
        8 => "string",
        9 => "bool",
        10 => "float16",
        11 => "float64",
        12 => "uint32",
        13 => "uint64",
        16 => "bfloat16",
        21 => "uint4",
        22 => "int4",
        _ => "other",
    }
}

/// Bits of an element.
fn dtype_bits(code: i32) -> u64 {
    match code {
        21 | 22 => 4,
        2 | 3 | 9 => 8,
        4 | 5 | 10 | 16 => 16,
        1 | 6 | 12 => 32,
        7 | 11 | 13 => 64,
        _ => 0,
    }
}
