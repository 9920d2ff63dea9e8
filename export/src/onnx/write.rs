//! Streams a graph to a file. Weights are read, written and forgotten one at a time, so that writing a large model
//! takes little memory beyond the model itself.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::emit::{emit, onnx_type};
use super::proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto};
use super::shared::SharedWeights;
use super::{IR_VERSION, OPSET};
use crate::error::ExportError;
use crate::graph::{Graph, Weight};

/// Protobuf lengths are signed 32-bit numbers in every reader.
const MAX_BYTES: u64 = i32::MAX as u64;

/// Field numbers of the messages that are written by hand.
mod field {
    pub(super) const MODEL_GRAPH: u32 = 7;
    pub(super) const GRAPH_INITIALIZER: u32 = 5;
    pub(super) const TENSOR_RAW_DATA: u32 = 9;
}

/// What a file says about itself.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// The graph's name; `graph` where it is empty.
    pub name: String,
    /// Key and value pairs kept in the file.
    pub metadata: Vec<(String, String)>,
}

/// Writes a graph as one self-contained ONNX file, which appears under its name only when it is whole. Returns its size.
///
/// # Errors
/// [`ExportError::TooLarge`] for a graph over 2 GB, before anything is written; [`ExportError::Write`].
pub fn write(graph: &Graph, path: impl AsRef<Path>, options: &WriteOptions) -> Result<u64, ExportError> {
    write_with(graph, path.as_ref(), options, None)
}

/// As [`write()`], with the weights in a file that lies in the same folder and that other graphs share. Small constants stay in
/// the graph, where engines look for them when they work out shapes. Returns the size of the graph's own file.
///
/// # Errors
/// [`ExportError::Write`].
pub fn write_shared(
    graph: &Graph,
    path: impl AsRef<Path>,
    options: &WriteOptions,
    weights: &mut SharedWeights,
) -> Result<u64, ExportError> {
    write_with(graph, path.as_ref(), options, Some(weights))
}

/// A constant as the file has it.
struct Initializer {
    /// Everything of the tensor but elements that lie in the file itself.
    header: Vec<u8>,
    /// Where its elements lie in the file itself.
    inside: Option<Weight>,
}

impl Initializer {
    fn new(weight: Weight, shared: Option<&mut SharedWeights>) -> Result<Self, ExportError> {
        let mut tensor = TensorProto {
            dims: weight.shape.iter().map(|&d| d as i64).collect(),
            data_type: onnx_type(weight.dtype),
            name: weight.name.clone(),
            ..Default::default()
        };
        let inside = match shared {
            Some(shared) if SharedWeights::takes(&weight) => {
                shared.place(&weight, &mut tensor)?;
                None
            }
            _ => Some(weight),
        };
        Ok(Self { header: tensor.encode_to_vec(), inside })
    }

    /// Bytes of the tensor's message.
    fn len(&self) -> u64 {
        let raw = self.inside.as_ref().map_or(0, |weight| {
            let raw = weight.byte_len() as u64;
            key_len(field::TENSOR_RAW_DATA) + encoded_len_varint(raw) as u64 + raw
        });
        self.header.len() as u64 + raw
    }
}

fn write_with(
    graph: &Graph,
    path: &Path,
    options: &WriteOptions,
    mut shared: Option<&mut SharedWeights>,
) -> Result<u64, ExportError> {
    // ONNX wants a name.
    let name = if options.name.is_empty() { "graph" } else { options.name.as_str() };
    let emitted = emit(graph, name);
    let initializers = emitted
        .initializers
        .into_iter()
        .map(|weight| Initializer::new(weight, shared.as_deref_mut()))
        .collect::<Result<Vec<_>, _>>()?;
    let initializer_len: u64 = initializers
        .iter()
        .map(|one| key_len(field::GRAPH_INITIALIZER) + encoded_len_varint(one.len()) as u64 + one.len())
        .sum();
    let body = emitted.graph.encode_to_vec();
    let graph_len = body.len() as u64 + initializer_len;
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "mbsd-export".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: None,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: i64::from(OPSET) }],
        metadata_props: options
            .metadata
            .iter()
            .map(|(key, value)| StringStringEntryProto { key: key.clone(), value: value.clone() })
            .collect(),
    }
    .encode_to_vec();
    let bytes = model.len() as u64 + key_len(field::MODEL_GRAPH) + encoded_len_varint(graph_len) as u64 + graph_len;
    if bytes > MAX_BYTES {
        return Err(ExportError::TooLarge { bytes });
    }
    let temporary = PathBuf::from(format!("{}.tmp", path.display()));
    let result =
        stream(&temporary, &model, graph_len, &body, &initializers).and_then(|()| std::fs::rename(&temporary, path));
    if let Err(source) = result {
        let _ = std::fs::remove_file(&temporary);
        return Err(ExportError::Write { path: path.display().to_string(), source });
    }
    Ok(bytes)
}

fn stream(path: &Path, model: &[u8], graph_len: u64, body: &[u8], initializers: &[Initializer]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(model)?;
    file.write_all(&prefix(field::MODEL_GRAPH, graph_len))?;
    file.write_all(body)?;
    for one in initializers {
        file.write_all(&prefix(field::GRAPH_INITIALIZER, one.len()))?;
        file.write_all(&one.header)?;
        let Some(weight) = &one.inside else { continue };
        file.write_all(&prefix(field::TENSOR_RAW_DATA, weight.byte_len() as u64))?;
        file.write_all(&elements(weight)?)?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// The elements of a weight, as many as its shape says.
pub(super) fn elements(weight: &Weight) -> io::Result<Vec<u8>> {
    let bytes = weight.bytes();
    if bytes.len() == weight.byte_len() {
        Ok(bytes)
    } else {
        Err(io::Error::other(format!("weight `{}` changed its size while it was written", weight.name)))
    }
}

fn key_len(field: u32) -> u64 {
    prost::encoding::key_len(field) as u64
}

/// Key and length in front of a length-delimited field.
fn prefix(field: u32, len: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(field, WireType::LengthDelimited, &mut bytes);
    encode_varint(len, &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dims::Dim;
    use crate::graph::{Binary, DType, Node, Op};

    fn sum_with_weight(byte_len: usize, read: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Graph {
        let mut graph = Graph::over(vec!["batch".into()]);
        let width = byte_len / 4;
        let shape = vec![Dim::symbol(0), Dim::from(width)];
        let x = graph.add_value(DType::F32, shape.clone());
        let w = graph.add_weight(Weight::deferred("w", DType::F32, vec![width], read));
        let y = graph.add_value(DType::F32, shape);
        graph.inputs.push(("x".into(), x));
        graph.nodes.push(Node { name: "sum".into(), op: Op::Binary(Binary::Add), inputs: vec![x, w], output: y });
        graph.outputs.push(("y".into(), y));
        graph
    }

    #[test]
    fn a_written_file_reads_back_as_the_messages_it_was_made_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sum.onnx");
        let elements: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let kept = elements.clone();
        let graph = sum_with_weight(8, move || kept.clone());
        let options = WriteOptions { name: "sum".into(), metadata: vec![("task".into(), "match".into())] };
        let bytes = write(&graph, &path, &options).unwrap();
        let file = std::fs::read(&path).unwrap();
        assert_eq!(file.len() as u64, bytes);
        let model = ModelProto::decode(file.as_slice()).unwrap();
        assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17));
        assert_eq!(model.metadata_props[0].value, "match");
        let read = model.graph.unwrap();
        assert_eq!(read.node[0].op_type, "Add");
        assert_eq!(read.initializer[0].raw_data, elements);
        let dims = &read.input[0].r#type.as_ref().unwrap().tensor_type.as_ref().unwrap().shape.as_ref().unwrap().dim;
        assert_eq!((dims[0].dim_param.as_deref(), dims[1].dim_value), (Some("batch"), Some(2)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_graph_over_two_gigabytes_is_refused_before_anything_is_read_or_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.onnx");
        let graph = sum_with_weight(3 << 30, || unreachable!("the weight is not needed for the size"));
        let error = write(&graph, &path, &WriteOptions::default()).unwrap_err();
        assert!(matches!(error, ExportError::TooLarge { bytes } if bytes > 3 << 30), "{error}");
        assert!(error.to_string().contains("keep its weights beside it with --shared-weights"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let graph = sum_with_weight(8, || vec![0; 4]);
        let error = write(&graph, folder.path().join("short.onnx"), &WriteOptions::default()).unwrap_err();
        assert!(format!("{error:?}").contains("changed its size"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(write(&graph, folder.path().join("no/such/folder.onnx"), &WriteOptions::default()).is_err());
    }
}
