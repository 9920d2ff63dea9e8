//! Files to modules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use mbsd_spec::{Architecture, Config, Task};

use super::names::{Position, TIED, canonical_name, disk_name, disk_shape, is_reconstruction};
use super::{WeightsError, WeightsFile};
use crate::initial::STANDARD_DEVIATION;
use crate::model::{Head, Mbsd};
use crate::network::Network;

/// What became of a file's tensors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WeightsReport {
    /// Tensors taken, by the model's name.
    pub loaded: Vec<String>,
    /// Tensors the model has and the file lacks: they keep their initial values.
    pub missing: Vec<String>,
    /// Tensors the file has and the model lacks, by the file's name.
    pub unexpected: Vec<String>,
}

/// Reads a whole model. Head and class count come from the weights; `task` is what the caller wants them to be.
///
/// `path` is a safetensors file or a folder with `model.safetensors`. At most one tensor is held beside the model.
///
/// # Errors
/// Any [`WeightsError`] but `Write`; every tensor of the model must be there in the shape that `config` gives it.
pub fn load(
    path: impl AsRef<Path>,
    config: &Config,
    task: Option<Task>,
    device: &Device,
) -> Result<(Mbsd, WeightsReport), WeightsError> {
    let file = WeightsFile::open(path)?;
    if config.architecture != Architecture::Mbsd {
        return Err(WeightsError::OtherArchitecture { path: file.path().to_owned(), found: config.architecture });
    }
    let head = head_for(&file, config, task)?;
    load_whole(&file, head, Mbsd::init(config, head, device))
}

/// As [`load`], whichever network `config` is of.
///
/// # Errors
/// As [`load`].
pub fn load_network(
    path: impl AsRef<Path>,
    config: &Config,
    task: Option<Task>,
    device: &Device,
) -> Result<(Network, WeightsReport), WeightsError> {
    let file = WeightsFile::open(path)?;
    let head = head_for(&file, config, task)?;
    load_whole(&file, head, Network::init_with(config, head, STANDARD_DEVIATION, device))
}

/// The head in a file, which has to answer `task` where one is given.
fn head_for(file: &WeightsFile, config: &Config, task: Option<Task>) -> Result<Head, WeightsError> {
    let head = head_in(file, config)?;
    match task {
        Some(wanted) if wanted != head.task() => {
            Err(WeightsError::OtherTask { path: file.path().to_owned(), wanted, found: head.task() })
        }
        _ => Ok(head),
    }
}

/// Reads every parameter of a model.
fn load_whole<M: Module>(file: &WeightsFile, head: Head, model: M) -> Result<(M, WeightsReport), WeightsError> {
    let (model, report, missing) = Loader::new(file, head).run(model)?;
    if let Some(layer) = report.unexpected.iter().find(|name| name.contains("encoder.layer.")) {
        return Err(WeightsError::MoreLayers { path: file.path().to_owned(), name: layer.clone() });
    }
    if missing.is_empty() {
        Ok((model, report))
    } else {
        Err(WeightsError::Missing { path: file.path().to_owned(), missing })
    }
}

/// Starts a model from a checkpoint without its head. Of a BERT checkpoint (`bert-base-chinese`) these are text
/// embeddings, encoder and, where it is there, pooler; of one of this project's the image side too. Everything else
/// keeps its initial values and is reported, as is what the model has no use for. A model with [`crate::Reconstruction`]
/// takes what the file has of that too: BERT's text head, or all of a stage-1 checkpoint.
///
/// # Errors
/// Any [`WeightsError`] but `Write`, `NoHead` and `OtherTask`; text embeddings and encoder must be there whole.
pub fn load_encoder(model: Mbsd, path: impl AsRef<Path>) -> Result<(Mbsd, WeightsReport), WeightsError> {
    let (head, whole) = (model.head(), model.reconstruction.is_some());
    encoder_of(model, head, whole, path.as_ref())
}

/// As [`load_encoder`], for a network that begins as a BERT does.
///
/// # Errors
/// As [`load_encoder`].
pub fn load_network_encoder(
    network: Network,
    path: impl AsRef<Path>,
) -> Result<(Network, WeightsReport), WeightsError> {
    let (head, whole) = (network.head(), network.mbsd().is_some_and(|model| model.reconstruction.is_some()));
    encoder_of(network, head, whole, path.as_ref())
}

/// Reads all but the head; with `whole`, what stage 1 needs besides as well.
fn encoder_of<M: Module>(model: M, head: Head, whole: bool, path: &Path) -> Result<(M, WeightsReport), WeightsError> {
    let file = WeightsFile::open(path)?;
    let mut loader = Loader::new(&file, head);
    loader.names.retain(|name, _| name.starts_with("bert.") || (whole && is_reconstruction(name)));
    let (model, report, missing) = loader.run(model)?;
    let missing: Vec<_> = missing.into_iter().filter(|(name, _)| is_encoder(name)).collect();
    if missing.is_empty() {
        Ok((model, report))
    } else {
        Err(WeightsError::Missing { path: file.path().to_owned(), missing })
    }
}

/// Reads a stage-1 checkpoint: the encoder and [`crate::Reconstruction`], whole. `model` is one with that part; its pooler
/// and head keep their initial values where the file has none, and are reported.
///
/// # Errors
/// Any [`WeightsError`] but `Write`, `NoHead` and `OtherTask`.
pub fn load_pretraining(model: Mbsd, path: impl AsRef<Path>) -> Result<(Mbsd, WeightsReport), WeightsError> {
    let file = WeightsFile::open(path)?;
    if !file.names().iter().any(|name| is_reconstruction(name)) {
        return Err(WeightsError::NoReconstruction { path: file.path().to_owned() });
    }
    let head = model.head();
    let mut loader = Loader::new(&file, head);
    loader.names.retain(|name, _| name.starts_with("bert.") || is_reconstruction(name));
    let (model, report, missing) = loader.run(model)?;
    let needed =
        |name: &str| (name.starts_with("bert.") && !name.starts_with("bert.pooler.")) || is_reconstruction(name);
    let missing: Vec<_> = missing.into_iter().filter(|(name, _)| needed(name)).collect();
    if missing.is_empty() {
        Ok((model, report))
    } else {
        Err(WeightsError::Missing { path: file.path().to_owned(), missing })
    }
}

fn is_encoder(name: &str) -> bool {
    name.starts_with("bert.embeddings.") || name.starts_with("bert.encoder.")
}

/// The head a file holds: `classifier.weight` is match, `proj.weight` classification, or alignment where it is twice
/// or four times as wide as the hidden vectors.
///
/// # Errors
/// [`WeightsError::NoHead`] and [`WeightsError::Shape`].
pub fn head_in(file: &WeightsFile, config: &Config) -> Result<Head, WeightsError> {
    let hidden = config.hidden_size;
    let shape_error = |name: &str, expected: [usize; 2], found: &[usize]| WeightsError::Shape {
        name: name.to_owned(),
        expected: expected.to_vec(),
        found: found.to_vec(),
    };
    if let Some(found) = file.shape("classifier.weight") {
        return if found == [1, hidden] {
            Ok(Head::Match)
        } else {
            Err(shape_error("classifier.weight", [1, hidden], found))
        };
    }
    match file.shape("proj.weight") {
        Some(&[1, inputs]) if inputs == 2 * hidden => Ok(Head::Alignment),
        Some(&[1, inputs]) if inputs == 4 * hidden => Ok(Head::Comparison),
        Some(&[classes, inputs]) if inputs == hidden && classes > 0 => Ok(Head::Classification { classes }),
        Some(found) => {
            let outputs = found.first().copied().unwrap_or(1);
            Err(shape_error("proj.weight", [outputs, hidden], found))
        }
        None => Err(WeightsError::NoHead { path: file.path().to_owned() }),
    }
}

/// Walks a model and replaces each parameter that the file holds.
struct Loader<'a> {
    file: &'a WeightsFile,
    /// From the model's names to the file's.
    names: BTreeMap<String, String>,
    task: Task,
    position: Position,
    loaded: BTreeSet<String>,
    missing: Vec<(String, Vec<usize>)>,
    error: Option<WeightsError>,
}

impl<'a> Loader<'a> {
    fn new(file: &'a WeightsFile, head: Head) -> Self {
        Self {
            file,
            names: file.names().into_iter().map(|found| (canonical_name(&found), found)).collect(),
            task: head.task(),
            position: Position::default(),
            loaded: BTreeSet::new(),
            missing: Vec::new(),
            error: None,
        }
    }

    #[allow(clippy::type_complexity)]
    fn run<M: Module>(mut self, model: M) -> Result<(M, WeightsReport, Vec<(String, Vec<usize>)>), WeightsError> {
        let model = model.map(&mut self);
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut unexpected = Vec::new();
        for found in self.file.names() {
            let name = canonical_name(&found);
            if !self.loaded.contains(&name) && !self.is_tied_copy(&name, &found)? {
                unexpected.push(found);
            }
        }
        let report = WeightsReport {
            loaded: self.loaded.into_iter().collect(),
            missing: self.missing.iter().map(|(name, _)| name.clone()).collect(),
            unexpected,
        };
        Ok((model, report, self.missing))
    }

    /// Whether a tensor of the file only repeats one that the model has taken, as its files do with tied weights.
    fn is_tied_copy(&self, name: &str, found: &str) -> Result<bool, WeightsError> {
        let Some((_, original)) = TIED.iter().find(|(copy, original)| *copy == name && self.loaded.contains(*original))
        else {
            return Ok(false);
        };
        // Without its counterpart's module the copy is a weight the model has no use for.
        if !self.loaded.contains(TIED[1].1) {
            return Ok(false);
        }
        let original = self.names.get(*original).map(|original| self.file.read(original)).transpose()?.flatten();
        Ok(self.file.read(found)? == original)
    }

    /// The values of the parameter called `name`, in the module's layout; `None` where the file lacks it.
    fn values(&self, name: &str, on_disk: &[usize], transposed: bool) -> Result<Option<Vec<f32>>, WeightsError> {
        let Some(found) = self.names.get(name) else { return Ok(None) };
        match self.file.shape(found) {
            Some(shape) if shape == on_disk => {}
            shape => {
                return Err(WeightsError::Shape {
                    name: found.clone(),
                    expected: on_disk.to_vec(),
                    found: shape.unwrap_or_default().to_vec(),
                });
            }
        }
        let values = self.file.read(found)?;
        Ok(values.map(|values| if transposed { transpose(&values, on_disk[0], on_disk[1]) } else { values }))
    }
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.position.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.position.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() {
            return param;
        }
        let name = disk_name(&self.position.path(), self.task);
        let shape = param.lazy_shape().to_vec();
        let transposed = self.position.is_linear_weight();
        let on_disk = disk_shape(&name, shape.clone(), transposed);
        match self.values(&name, &on_disk, transposed) {
            Ok(Some(values)) => {
                self.loaded.insert(name);
                let tensor = Tensor::from_data(TensorData::new(values, shape), &param.lazy_device());
                let id = param.id;
                param.transform_for_load(tensor, id)
            }
            Ok(None) => {
                self.missing.push((name, on_disk));
                param
            }
            Err(error) => {
                self.error = Some(error);
                param
            }
        }
    }
}

/// `[rows, columns]` to `[columns, rows]`.
pub(super) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut transposed = vec![0.0; values.len()];
    for (row, line) in values.chunks_exact(columns.max(1)).enumerate() {
        for (column, &value) in line.iter().enumerate() {
            transposed[column * rows + row] = value;
        }
    }
    transposed
}
