//! Weights outside the graphs: one file that the graphs of a folder share, each weight in it once.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::proto::{EXTERNAL, StringStringEntryProto, TensorProto};
use super::write::elements;
use crate::error::ExportError;
use crate::graph::Weight;

/// Where a weight may start: engines map the file, and memory is mapped by pages.
const ALIGNMENT: u64 = 4096;

/// Smaller constants stay in the graph.
const SMALLEST: usize = 1024;

/// A file of weights that graphs in the same folder refer to (ONNX external data).
#[derive(Debug)]
pub struct SharedWeights {
    path: PathBuf,
    /// The file's name, as graphs refer to it.
    location: String,
    file: BufWriter<File>,
    end: u64,
    /// Where each content lies.
    placed: HashMap<[u8; 32], u64>,
}

impl SharedWeights {
    /// Starts the file.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self, ExportError> {
        let path = path.as_ref().to_owned();
        let file = File::create(&path).map_err(|source| failed(&path, source))?;
        let location = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Self { path, location, file: BufWriter::new(file), end: 0, placed: HashMap::new() })
    }

    /// Whether a weight goes into the file.
    pub(super) fn takes(weight: &Weight) -> bool {
        !weight.is_inline() && weight.byte_len() >= SMALLEST
    }

    /// Makes a tensor refer to a weight, which is written unless the file has its content already.
    pub(super) fn place(&mut self, weight: &Weight, tensor: &mut TensorProto) -> Result<(), ExportError> {
        let offset = self.offset(weight).map_err(|source| failed(&self.path, source))?;
        let entry = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
        tensor.data_location = Some(EXTERNAL);
        tensor.external_data = vec![
            entry("location", self.location.clone()),
            entry("offset", offset.to_string()),
            entry("length", weight.byte_len().to_string()),
        ];
        Ok(())
    }

    fn offset(&mut self, weight: &Weight) -> io::Result<u64> {
        let bytes = elements(weight)?;
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        if let Some(&offset) = self.placed.get(&digest) {
            return Ok(offset);
        }
        let offset = self.end.next_multiple_of(ALIGNMENT);
        io::copy(&mut io::Read::take(io::repeat(0), offset - self.end), &mut self.file)?;
        self.file.write_all(&bytes)?;
        self.end = offset + bytes.len() as u64;
        self.placed.insert(digest, offset);
        Ok(offset)
    }

    /// Ends the file and returns its size.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn finish(self) -> Result<u64, ExportError> {
        let Self { path, file, end, .. } = self;
        file.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .map_err(|source| failed(&path, source))?;
        Ok(end)
    }
}

fn failed(path: &Path, source: io::Error) -> ExportError {
    ExportError::Write { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::proto::ModelProto;
    use super::super::{WriteOptions, write_shared};
    use super::*;
    use crate::dims::Dim;
    use crate::graph::{Binary, DType, Graph, Node, Op};

    /// `x + w + v`, of 300 values each.
    fn sums(weights: [(&str, f32); 2]) -> Graph {
        let mut graph = Graph::over(vec!["batch".into()]);
        let shape = || vec![Dim::symbol(0), Dim::from(300usize)];
        let mut sum = graph.add_value(DType::F32, shape());
        graph.inputs.push(("x".into(), sum));
        for (name, value) in weights {
            let read = move || value.to_le_bytes().repeat(300);
            let weight = graph.add_weight(Weight::deferred(name, DType::F32, vec![300], read));
            let output = graph.add_value(DType::F32, shape());
            let (name, inputs) = (format!("plus_{name}"), vec![sum, weight]);
            graph.nodes.push(Node { name, op: Op::Binary(Binary::Add), inputs, output });
            sum = output;
        }
        graph.outputs.push(("y".into(), sum));
        graph
    }

    /// Two graphs with one common weight; the bytes of every file.
    fn written(folder: &Path) -> [Vec<u8>; 3] {
        let mut shared = SharedWeights::create(folder.join("weights.bin")).unwrap();
        for (name, graph) in
            [("a.onnx", sums([("w", 1.0), ("v", 2.0)])), ("b.onnx", sums([("other", 3.0), ("w", 1.0)]))]
        {
            let bytes = write_shared(&graph, folder.join(name), &WriteOptions::default(), &mut shared).unwrap();
            assert_eq!(bytes, std::fs::metadata(folder.join(name)).unwrap().len());
        }
        let bytes = shared.finish().unwrap();
        assert_eq!(bytes, 2 * ALIGNMENT + 1200, "three contents, aligned");
        ["weights.bin", "a.onnx", "b.onnx"].map(|name| std::fs::read(folder.join(name)).unwrap())
    }

    #[test]
    fn graphs_share_each_weight_once_by_content_and_the_bytes_repeat() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let [weights, a, b] = written(first.path());
        assert!([&weights, &a, &b] == written(second.path()).each_ref());
        let places = |bytes: &[u8]| -> Vec<(String, String)> {
            let graph = ModelProto::decode(bytes).unwrap().graph.unwrap();
            let one = |tensor: &TensorProto| {
                assert_eq!((tensor.data_location, tensor.raw_data.len()), (Some(EXTERNAL), 0));
                let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key).unwrap().value.clone();
                assert_eq!((entry("location"), entry("length")), ("weights.bin".to_owned(), "1200".to_owned()));
                (tensor.name.clone(), entry("offset"))
            };
            graph.initializer.iter().map(one).collect()
        };
        let place = |name: &str, offset: &str| (name.to_owned(), offset.to_owned());
        assert_eq!(places(&a), [place("w", "0"), place("v", "4096")]);
        assert_eq!(places(&b), [place("other", "8192"), place("w", "0")]);
        assert_eq!(weights[4096..4100], 2f32.to_le_bytes());
    }
}
