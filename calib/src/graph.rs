//! An ONNX graph to be rewritten: nodes by name, weights as plain numbers.
//!
//! Quantizing adds nodes around products that are there already and needs no extents, so it works on the file's own messages.
//! What it does not touch goes to the new file as it came.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mbsd_runtime::engine;
use mbsd_spec::Variant;
use prost::Message;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, attribute_proto};

use crate::error::CalibError;

/// Operators by which a graph is known to be quantized.
const QUANTIZED: [&str; 5] =
    ["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearMatMul"];

/// An ONNX graph in memory.
#[derive(Debug, Clone)]
pub struct OnnxGraph {
    model: ModelProto,
    path: PathBuf,
    /// Where each initializer is, by name.
    initializers: BTreeMap<String, usize>,
    /// Names of nodes and tensors.
    names: BTreeSet<String>,
}

/// A float weight, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// Its name in the graph.
    pub name: String,
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// Values.
    pub values: Vec<f32>,
}

impl Weight {
    /// The values at one index of the first axis.
    pub fn row(&self, index: usize) -> &[f32] {
        let width: usize = self.shape.iter().skip(1).product();
        &self.values[index * width..(index + 1) * width]
    }
}

/// A product of activations and a weight: a `MatMul` whose second operand is a constant `[inputs, outputs]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Name of the node.
    pub name: String,
    /// The activations, `[.., inputs]`.
    pub input: String,
    /// The weight.
    pub weight: String,
    /// The result, `[.., outputs]`.
    pub output: String,
    /// Whether it has a row for each token. The pooler and the heads have one for each product.
    pub per_token: bool,
}

impl OnnxGraph {
    /// Reads a graph file with its weights.
    ///
    /// # Errors
    /// If the file cannot be read or is no ONNX graph.
    pub fn read(path: &Path) -> Result<Self, CalibError> {
        let bytes = fs::read(path).map_err(CalibError::io(path))?;
        let wrong = |reason: &str| CalibError::Graph { path: path.to_owned(), reason: reason.to_owned() };
        let model = ModelProto::decode(bytes.as_slice()).map_err(|_| wrong("is not an ONNX graph"))?;
        drop(bytes);
        let graph = model.graph.as_ref().ok_or_else(|| wrong("holds no ONNX graph"))?;
        let initializers = graph.initializer.iter().enumerate().map(|(i, tensor)| (tensor.name.clone(), i)).collect();
        let mut names: BTreeSet<String> = graph.initializer.iter().map(|tensor| tensor.name.clone()).collect();
        names.extend(graph.input.iter().map(|input| input.name.clone()));
        for node in &graph.node {
            names.insert(node.name.clone());
            names.extend(node.output.iter().cloned());
        }
        Ok(Self { path: path.to_owned(), initializers, names, model })
    }

    /// Writes the graph as one file and returns its size.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<u64, CalibError> {
        let bytes = self.model.encode_to_vec();
        fs::write(path, &bytes).map_err(CalibError::io(path))?;
        Ok(bytes.len() as u64)
    }

    /// Checks that the graph computes in floats.
    ///
    /// # Errors
    /// [`CalibError::AlreadyQuantized`] where it does not.
    pub fn refuse_quantized(&self, variant: Variant) -> Result<(), CalibError> {
        match self.graph().node.iter().find(|node| QUANTIZED.contains(&node.op_type.as_str())) {
            Some(node) => {
                Err(CalibError::AlreadyQuantized { variant, node: node.name.clone(), op: node.op_type.clone() })
            }
            None => Ok(()),
        }
    }

    /// Takes weights that lie in another file into the graph, so that it can be written to another folder.
    ///
    /// # Errors
    /// If such a file cannot be read.
    pub fn embed_weights(&mut self) -> Result<(), CalibError> {
        for index in 0..self.graph().initializer.len() {
            if self.graph().initializer[index].external_data.is_empty() {
                continue;
            }
            let bytes = self.external(&self.graph().initializer[index])?;
            let tensor = &mut self.graph_mut().initializer[index];
            tensor.raw_data = bytes;
            tensor.external_data.clear();
            tensor.data_location = Some(DataLocation::Default as i32);
        }
        Ok(())
    }

    /// The products of activations and weights, in the order in which they are computed.
    ///
    /// # Errors
    /// If tract cannot tell the shapes between the graph's nodes.
    pub fn products(&self) -> Result<Vec<Product>, CalibError> {
        let ranks: BTreeMap<String, usize> =
            engine::inferred_shapes(&self.path)?.into_iter().map(|spec| (spec.name, spec.shape.len())).collect();
        let products = self.graph().node.iter().filter_map(|node| {
            let ([input, weight], [output]) = (node.input.as_slice(), node.output.as_slice()) else { return None };
            let weight_shape = self.initializer(weight)?;
            let is_product = node.op_type == "MatMul"
                && weight_shape.dims.len() == 2
                && weight_shape.data_type == DataType::Float as i32
                && !self.initializers.contains_key(input);
            is_product.then(|| Product {
                name: node.name.clone(),
                input: input.clone(),
                weight: weight.clone(),
                output: output.clone(),
                per_token: ranks.get(input).is_none_or(|&rank| rank > 2),
            })
        });
        Ok(products.collect())
    }

    /// The values of a float weight, wherever the file keeps them.
    ///
    /// # Errors
    /// If it is no float tensor, or its values do not fit its shape.
    pub fn weight(&self, name: &str) -> Result<Weight, CalibError> {
        let wrong = |reason: String| CalibError::Weight { name: name.to_owned(), reason };
        let tensor = self.initializer(name).ok_or_else(|| wrong("is not in the graph".to_owned()))?;
        if tensor.data_type != DataType::Float as i32 {
            return Err(wrong("is not float32".to_owned()));
        }
        let shape: Option<Vec<usize>> = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
        let shape = shape.ok_or_else(|| wrong("has a negative extent".to_owned()))?;
        let values: Vec<f32> = if !tensor.float_data.is_empty() {
            tensor.float_data.clone()
        } else {
            let bytes = if tensor.external_data.is_empty() { tensor.raw_data.clone() } else { self.external(tensor)? };
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        if values.len() != shape.iter().product::<usize>() {
            return Err(wrong(format!("has {} values for shape {shape:?}", values.len())));
        }
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(wrong(format!("holds {value}; train or export the model again"))),
            None => Ok(Weight { name: name.to_owned(), shape, values }),
        }
    }

    /// The bytes of a tensor that lies in another file of the same folder.
    fn external(&self, tensor: &TensorProto) -> Result<Vec<u8>, CalibError> {
        use std::io::{Read, Seek, SeekFrom};
        let entry = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
        let number = |key: &str| entry(key).and_then(|value| value.parse::<u64>().ok());
        let wrong = |reason: &str| CalibError::Weight { name: tensor.name.clone(), reason: reason.to_owned() };
        let location = entry("location").ok_or_else(|| wrong("is in another file that is not named"))?;
        if Path::new(location).file_name().is_none_or(|name| name != location.as_str()) {
            return Err(wrong("is in a file outside the graph's folder: refused"));
        }
        let path = self.path.with_file_name(location);
        let mut file = fs::File::open(&path).map_err(CalibError::io(&path))?;
        file.seek(SeekFrom::Start(number("offset").unwrap_or(0))).map_err(CalibError::io(&path))?;
        let length = number("length").ok_or_else(|| wrong("is in another file without a length"))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).map_err(CalibError::io(&path))?;
        Ok(bytes)
    }

    pub(crate) fn graph(&self) -> &GraphProto {
        self.model.graph.as_ref().expect("a graph is read with its model")
    }

    pub(crate) fn graph_mut(&mut self) -> &mut GraphProto {
        self.model.graph.as_mut().expect("a graph is read with its model")
    }

    /// An initializer by name.
    pub(crate) fn initializer(&self, name: &str) -> Option<&TensorProto> {
        self.initializers.get(name).map(|&index| &self.graph().initializer[index])
    }

    /// A name that nothing in the graph has.
    pub(crate) fn fresh(&mut self, wanted: String) -> String {
        let taken = &self.names;
        let name = if taken.contains(&wanted) {
            (1..).map(|n| format!("{wanted}_{n}")).find(|name| !taken.contains(name)).unwrap_or_default()
        } else {
            wanted
        };
        self.names.insert(name.clone());
        name
    }

    /// Adds a constant and returns its name.
    pub(crate) fn constant(&mut self, name: String, dtype: DataType, shape: &[usize], raw_data: Vec<u8>) -> String {
        let name = self.fresh(name);
        let dims = shape.iter().map(|&dim| dim as i64).collect();
        let tensor =
            TensorProto { name: name.clone(), data_type: dtype as i32, dims, raw_data, ..TensorProto::default() };
        self.initializers.insert(name.clone(), self.graph().initializer.len());
        self.graph_mut().initializer.push(tensor);
        name
    }

    /// Adds a float constant and returns its name.
    pub(crate) fn floats(&mut self, name: String, shape: &[usize], values: &[f32]) -> String {
        self.constant(name, DataType::Float, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Replaces each node by what `rewrite` makes of it, in order.
    pub(crate) fn rewrite(
        &mut self,
        mut rewrite: impl FnMut(&mut Self, NodeProto) -> Result<Vec<NodeProto>, CalibError>,
    ) -> Result<(), CalibError> {
        let mut nodes = Vec::new();
        for node in std::mem::take(&mut self.graph_mut().node) {
            nodes.extend(rewrite(self, node)?);
        }
        self.graph_mut().node = nodes;
        self.drop_unused();
        Ok(())
    }

    /// Drops constants that no node reads.
    fn drop_unused(&mut self) {
        let graph = self.model.graph.as_mut().expect("a graph is read with its model");
        let mut read: BTreeSet<&str> = graph.node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
        read.extend(graph.output.iter().map(|output| output.name.as_str()));
        graph.initializer.retain(|tensor| read.contains(tensor.name.as_str()));
        self.initializers = graph.initializer.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
    }
}

/// The distinct inputs of products, in order.
pub(crate) fn inputs(products: &[Product]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    products.iter().map(|product| product.input.clone()).filter(|input| seen.insert(input.clone())).collect()
}

/// A node whose one result has the node's name.
pub(crate) fn node(op: &str, name: &str, inputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        name: name.to_owned(),
        input: inputs.iter().map(|input| (*input).to_owned()).collect(),
        output: vec![name.to_owned()],
        ..NodeProto::default()
    }
}

/// A node with integer attributes.
pub(crate) fn node_with(op: &str, name: &str, inputs: &[&str], attributes: &[(&str, i64)]) -> NodeProto {
    let attribute = attributes
        .iter()
        .map(|&(name, value)| AttributeProto {
            name: name.to_owned(),
            i: value,
            r#type: attribute_proto::AttributeType::Int as i32,
            ..AttributeProto::default()
        })
        .collect();
    NodeProto { attribute, ..node(op, name, inputs) }
}

/// A reduction of the last axis, which stays with extent 1.
pub(crate) fn reduce_last(op: &str, name: &str, input: &str) -> NodeProto {
    let mut reduce = node_with(op, name, &[input], &[("keepdims", 1)]);
    reduce.attribute.push(AttributeProto {
        name: "axes".to_owned(),
        ints: vec![-1],
        r#type: attribute_proto::AttributeType::Ints as i32,
        ..AttributeProto::default()
    });
    reduce
}
