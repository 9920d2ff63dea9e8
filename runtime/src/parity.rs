//! Agreement of graphs with the trained model, on rows that travel with the bundle.
//!
//! The exporter computes a few rows of each variant with Burn and stores what went in and what came out. Whoever has the
//! bundle can run them through any engine, without Burn.

use std::path::{Path, PathBuf};

use mbsd_spec::bundle::Measured;
use mbsd_spec::{BundleError, NamedTensors, Precision, Tensor};

use crate::engine::{Engine, EngineError, SessionOptions};
use crate::tensors::{self, TensorsError};

/// What a single-precision graph may differ by: other kernels for erf, exp and tanh, sums in another order.
const SINGLE: f64 = 1e-4;

/// What a half-precision graph may differ by: 11 bits of mantissa between the layers.
const HALF: f64 = 1e-2;

/// Prefix of input names in a file of reference rows.
const INPUT: &str = "input.";

/// Prefix of output names in a file of reference rows.
const OUTPUT: &str = "output.";

/// Rows of one variant, and what the trained model makes of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Inputs by name, as the graph takes them.
    pub inputs: NamedTensors,
    /// Outputs by name, as Burn computed them in single precision.
    pub outputs: NamedTensors,
}

/// Agreement that could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParityError {
    /// The reference rows cannot be read or written.
    #[error(transparent)]
    Tensors(#[from] TensorsError),
    /// The file holds other tensors than reference rows do.
    #[error("{} holds no reference rows: {reason}; export the bundle again", path.display())]
    Reference {
        /// The file.
        path: PathBuf,
        /// What is off.
        reason: String,
    },
    /// The bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The engine cannot load or run the graph.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The graph gives something that cannot be compared.
    #[error("output `{output}` {reason}")]
    Output {
        /// The output.
        output: String,
        /// What is off.
        reason: String,
    },
}

impl Reference {
    /// Reads the rows from a safetensors file with tensors `input.<name>` and `output.<name>`.
    ///
    /// # Errors
    /// [`ParityError::Tensors`] and [`ParityError::Reference`].
    pub fn read(path: &Path) -> Result<Self, ParityError> {
        let mut reference = Self { inputs: NamedTensors::new(), outputs: NamedTensors::new() };
        for (name, tensor) in tensors::read(path)? {
            match (name.strip_prefix(INPUT), name.strip_prefix(OUTPUT)) {
                (Some(input), _) => drop(reference.inputs.insert(input.to_owned(), tensor)),
                (None, Some(output)) if tensor.as_f32().is_some() => {
                    reference.outputs.insert(output.to_owned(), tensor);
                }
                _ => return Err(wrong(path, format!("`{name}` is neither an input nor a float output"))),
            }
        }
        if reference.inputs.is_empty() || reference.outputs.is_empty() {
            return Err(wrong(path, "inputs or outputs are missing".to_owned()));
        }
        Ok(reference)
    }

    /// Writes the rows; the file appears whole or not at all.
    ///
    /// # Errors
    /// [`ParityError::Tensors`].
    pub fn write(&self, path: &Path) -> Result<(), ParityError> {
        let prefixed = |prefix: &'static str, tensors: &NamedTensors| {
            let one = move |(name, tensor): (&String, &Tensor)| (format!("{prefix}{name}"), tensor.clone());
            tensors.iter().map(one).collect::<NamedTensors>()
        };
        let mut all = prefixed(INPUT, &self.inputs);
        all.extend(prefixed(OUTPUT, &self.outputs));
        Ok(tensors::write(path, &all)?)
    }

    /// Rows there are.
    pub fn rows(&self) -> usize {
        self.inputs.values().next().and_then(|tensor| tensor.shape().first().copied()).unwrap_or(0)
    }

    /// Loads a graph and runs the rows through it.
    ///
    /// # Errors
    /// [`ParityError::Engine`] where the engine refuses the graph, [`ParityError::Output`] where it gives other outputs, or a
    /// value that is no number.
    pub fn measure(
        &self,
        engine: &dyn Engine,
        graph: &Path,
        options: &SessionOptions,
    ) -> Result<Measured, ParityError> {
        let outputs = engine.load(graph, options)?.run(&self.inputs)?;
        let (mut max, mut sum, mut count) = (0f64, 0f64, 0usize);
        for (name, expected) in &self.outputs {
            let off = |reason: String| ParityError::Output { output: name.clone(), reason };
            let found = outputs.get(name).ok_or_else(|| off("is missing from the graph".to_owned()))?;
            if found.shape() != expected.shape() {
                return Err(off(format!("has shape {:?}, the model's has {:?}", found.shape(), expected.shape())));
            }
            let (Some(expected), Some(found)) = (expected.as_f32(), found.as_f32()) else {
                return Err(off(format!("is {}, not float32", found.dtype())));
            };
            for (a, b) in expected.iter().zip(found) {
                let difference = f64::from((a - b).abs());
                if !difference.is_finite() {
                    return Err(off("holds a value that is no number".to_owned()));
                }
                max = max.max(difference);
                sum += difference;
                count += 1;
            }
        }
        let mean_abs_diff = sum / count.max(1) as f64;
        Ok(Measured { max_abs_diff: max, mean_abs_diff, rows: self.rows(), engine_version: engine.version() })
    }
}

/// The largest difference from the trained model that a graph of this precision may show. `None` for 8-bit graphs, whose
/// error is the model's own: what was recorded when they were made is what they are held to.
pub fn tolerance(precision: Precision) -> Option<f64> {
    match precision {
        Precision::F32 => Some(SINGLE),
        Precision::F16 => Some(HALF),
        Precision::Int8 | Precision::Qdq | Precision::W8 => None,
    }
}

fn wrong(path: &Path, reason: String) -> ParityError {
    ParityError::Reference { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_written_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full.safetensors");
        let reference = Reference {
            inputs: NamedTensors::from([("input_ids".to_owned(), Tensor::i64([2, 1], vec![5, 6]).unwrap())]),
            outputs: NamedTensors::from([("logits".to_owned(), Tensor::f32([2], vec![0.5, -1.0]).unwrap())]),
        };
        reference.write(&path).unwrap();
        assert_eq!(Reference::read(&path).unwrap(), reference);
        assert_eq!(reference.rows(), 2);
        let refused = |tensors: NamedTensors| {
            tensors::write(&path, &tensors).unwrap();
            Reference::read(&path).unwrap_err().to_string()
        };
        let ids = reference.inputs["input_ids"].clone();
        let error = refused(NamedTensors::from([("output.logits".to_owned(), ids.clone())]));
        assert!(error.contains("`output.logits` is neither an input nor a float output"), "{error}");
        let error = refused(NamedTensors::from([("input.input_ids".to_owned(), ids)]));
        assert!(error.contains("inputs or outputs are missing; export the bundle again"), "{error}");
    }
}
