//! Modules to files.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use mbsd_spec::Task;
use safetensors::tensor::{Dtype, View};

use super::WeightsError;
use super::load::transpose;
use super::names::{Position, TIED, disk_name, disk_shape, released_name};
use crate::model::Mbsd;
use crate::network::Network;

/// Writes every parameter under the released model's name and in its layout. The same weights give the same bytes.
///
/// Of a model with [`crate::Reconstruction`] the head stays out: stage 1 does not train it, and a file with a head would
/// pass for a finished model. The tied map to the vocabulary is written a second time, under the name it has in the
/// released model's files, so that other programs read the file strictly.
///
/// # Errors
/// [`WeightsError::Write`]; what has been written by then stays.
pub fn save(model: &Mbsd, path: impl AsRef<Path>) -> Result<(), WeightsError> {
    let mut collector = Collector::of(model, model.head().task());
    if model.reconstruction.is_some() {
        let head = ["weight", "bias"].map(|field| released_name(&format!("classifier.{field}"), collector.task));
        collector.tensors.retain(|(name, _)| !head.iter().flatten().any(|part| part == name));
        let (decoder, _) = TIED[0];
        collector.push(decoder.to_owned(), model.embeddings.word.weight.val(), false);
    }
    collector.write(path.as_ref())
}

/// As [`save`], whichever network it is. Those that MBSD is compared with keep the module's path as the name of what the
/// released model has no name for.
///
/// # Errors
/// As [`save`].
pub fn save_network(network: &Network, path: impl AsRef<Path>) -> Result<(), WeightsError> {
    match network {
        Network::Mbsd(model) => save(model, path),
        other => Collector::of(other, other.head().task()).write(path.as_ref()),
    }
}

/// `safetensors` writes through a temporary file that only its owner may read.
#[cfg(unix)]
fn let_others_read(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn let_others_read(_: &Path) -> std::io::Result<()> {
    Ok(())
}

struct Collector {
    position: Position,
    task: Task,
    tensors: Vec<(String, Stored)>,
}

impl Collector {
    /// The parameters of a model.
    fn of(model: &impl Module, task: Task) -> Self {
        let mut collector = Self { position: Position::default(), task, tensors: Vec::new() };
        model.visit(&mut collector);
        collector
    }

    fn write(self, path: &Path) -> Result<(), WeightsError> {
        // The `transformers` library refuses a file that does not say which framework's layout it has.
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize_to_file(self.tensors, Some(metadata), path)
            .map_err(|error| error.to_string())
            .and_then(|()| let_others_read(path).map_err(|error| error.to_string()))
            .map_err(|reason| WeightsError::Write { path: path.to_owned(), reason })
    }

    fn push<const D: usize>(&mut self, name: String, tensor: Tensor<D>, transposed: bool) {
        let shape = disk_shape(&name, tensor.dims().to_vec(), transposed);
        let values = Box::new(move || tensor.to_data().iter::<f32>().collect());
        self.tensors.push((name, Stored { shape, values, transposed }));
    }
}

/// A parameter whose bytes are fetched when the file is written, one at a time.
struct Stored {
    shape: Vec<usize>,
    values: Box<dyn Fn() -> Vec<f32>>,
    transposed: bool,
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut values = (self.values)();
        if self.transposed {
            values = transpose(&values, self.shape[1], self.shape[0]);
        }
        Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        4 * self.shape.iter().product::<usize>()
    }
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.position.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.position.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.position.path();
        self.push(disk_name(&path, self.task), param.val(), self.position.is_linear_weight());
    }
}
