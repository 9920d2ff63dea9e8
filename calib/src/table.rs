//! TensorRT's calibration tables: ranges beside a float graph instead of in it.
//!
//! A table is text. Its first line names the version of TensorRT and the algorithm; each further line a tensor and its scale, the
//! range through 127, as the hexadecimal bits of an f32:
//!
//! ```text
//! TRT-101401-EntropyCalibration2
//! pixel_values: 3c010a14
//! ```
//!
//! ONNX Runtime's TensorRT provider reads it with `trt_int8_use_native_calibration_table`, and looks of the first line at `TRT-`
//! alone. TensorRT itself, given the file through a calibrator, takes it only from its own version.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use mbsd_spec::{Bundle, Precision, Variant};

use crate::calibrate::{engines, variants};
use crate::error::CalibError;
use crate::graph::{OnnxGraph, Product, inputs};
use crate::observe::{Observer, RangeRow};
use crate::ranges::RangeMethod;
use crate::request::Engines;
use crate::rows::{Products, RangeRows};

/// Steps of a range on each side of 0.
const LEVELS: f32 = 127.0;

/// A version of TensorRT, as in the first line of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorrtVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Default for TensorrtVersion {
    fn default() -> Self {
        Self { major: 10, minor: 14, patch: 1 }
    }
}

impl FromStr for TensorrtVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        match parts.as_deref() {
            Ok(&[major, minor, patch]) if minor < 100 && patch < 100 => Ok(Self { major, minor, patch }),
            _ => Err("must be three numbers, as in 10.14.1".to_owned()),
        }
    }
}

impl fmt::Display for TensorrtVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl TensorrtVersion {
    /// `NV_TENSORRT_VERSION`: 10.14.1 is 101401, 8.4.1 is 8401.
    fn number(self) -> u32 {
        let major = if self.major < 10 { 1000 } else { 10_000 };
        self.major * major + self.minor * 100 + self.patch
    }
}

/// The text of a table.
pub fn text(ranges: &[RangeRow], version: TensorrtVersion) -> String {
    let mut text = format!("TRT-{}-EntropyCalibration2\n", version.number());
    for row in ranges {
        let _ = writeln!(text, "{}: {:x}", row.activation, (row.range / LEVELS).to_bits());
    }
    text
}

/// Which tables to make, and of what.
#[derive(Debug, Clone)]
pub struct TablesRequest {
    /// A bundle with f32 graphs.
    pub bundle: PathBuf,
    /// Products that ranges are observed on.
    pub products: Products,
    /// So many rows of them, of every tag its share; all where `None`.
    pub samples: Option<usize>,
    /// The graphs to make tables of; all that encode products where `None`.
    pub variants: Option<Vec<Variant>>,
    /// What computes: the first that is there.
    pub engines: Engines,
    /// CPU threads; all cores where `None`.
    pub threads: Option<NonZeroUsize>,
    /// How ranges are chosen.
    pub method: RangeMethod,
    /// The TensorRT that will read the tables.
    pub version: TensorrtVersion,
    /// A new or empty folder.
    pub out: PathBuf,
}

/// A table that was written.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Table {
    /// Of which graph.
    pub variant: Variant,
    /// The file.
    pub path: PathBuf,
    /// The ranges in it.
    pub ranges: Vec<RangeRow>,
}

/// Writes `<variant>.table` for graphs of a bundle, with a range for every tensor that a product reads or writes, before and
/// after its bias. What has no range there TensorRT leaves in floats.
///
/// # Errors
/// See [`CalibError`].
pub fn write_tables(request: &TablesRequest) -> Result<Vec<Table>, CalibError> {
    let bundle = Bundle::open(&request.bundle)?;
    let variants = variants(&bundle, request.variants.as_deref())?;
    let rows = RangeRows::new(&request.products, bundle.task(), request.samples)?;
    let (engines, _) = engines(&request.engines)?;
    let observer = Observer { engine: Arc::clone(&engines[0]), bundle: &bundle, rows: &rows, threads: request.threads };
    fs::create_dir_all(&request.out).map_err(CalibError::io(&request.out))?;
    if fs::read_dir(&request.out).map_err(CalibError::io(&request.out))?.next().is_some() {
        return Err(CalibError::Setting(format!("{} is not empty", request.out.display())));
    }
    let mut tables = Vec::new();
    for variant in variants {
        let (_, file) = bundle.artifact(variant, Precision::F32)?;
        let mut graph = OnnxGraph::read(&file)?;
        graph.embed_weights()?;
        graph.refuse_quantized(variant)?;
        let products: Vec<Product> = graph.products()?.into_iter().filter(|product| product.per_token).collect();
        let names = tensors(&graph, &products);
        let path = request.out.join(format!("{variant}.table"));
        let ranges = observer.ranges(variant, &graph, &names, request.method, &path.with_extension("onnx"))?;
        tables.push(Table { variant, path, ranges });
    }
    // Nothing is written before all is known.
    for table in &tables {
        fs::write(&table.path, text(&table.ranges, request.version)).map_err(CalibError::io(&table.path))?;
    }
    Ok(tables)
}

/// What products read, what they write, and that with its bias, each once.
fn tensors(graph: &OnnxGraph, products: &[Product]) -> Vec<String> {
    let mut names = inputs(products);
    for product in products {
        names.push(product.output.clone());
        let biased = graph.graph().node.iter().find(|node| {
            node.op_type == "Add"
                && node.input.contains(&product.output)
                && node.input.iter().any(|input| graph.initializer(input).is_some())
        });
        names.extend(biased.and_then(|node| node.output.first().cloned()));
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_what_tensorrt_writes() {
        // Bits by hand: a scale of 2 is 40000000, of 1/127 it is 3c010204, of 1/4 it is 3e800000.
        let row = |activation: &str, range: f32| RangeRow { activation: activation.to_owned(), largest: range, range };
        let ranges = [row("data_0", 254.0), row("encoder.layer.0 x", 1.0), row("b", 31.75)];
        assert_eq!(
            text(&ranges, "7.1.3".parse().unwrap()),
            "TRT-7103-EntropyCalibration2\ndata_0: 40000000\nencoder.layer.0 x: 3c010204\nb: 3e800000\n"
        );
        assert!(text(&ranges, TensorrtVersion::default()).starts_with("TRT-101401-EntropyCalibration2\n"));
        for wrong in ["10", "10.14", "10.14.1.2", "10.x.1", "8.400.1", ""] {
            assert!(wrong.parse::<TensorrtVersion>().is_err(), "{wrong}");
        }
    }
}
