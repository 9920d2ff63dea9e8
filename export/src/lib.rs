//! Captures Burn modules and emits ONNX graphs.
//!
//! [`Compiler`] records a module's forward at several sizes, solves every extent as a polynomial over the named sizes,
//! rewrites the graph into the form that inference engines run best, and writes it as ONNX. It works for any module
//! within the supported operations. [`bundle`] puts the graphs of an MBSD checkpoint into a bundle, [`layout`] puts a
//! bundle into the form that other servers take.
//!
//! ```no_run
//! # use burn::nn::{Linear, LinearConfig};
//! # use burn::tensor::Device;
//! use mbsd_export::{Compiler, Output};
//!
//! # let linear = LinearConfig::new(4, 8).init(&Device::flex());
//! let graph = Compiler::new()
//!     .float("x", ["batch".into(), 4.into()])
//!     .compile(&linear, |linear, inputs| vec![Output::new("y", linear.forward(inputs.float::<2>("x")))])?;
//! mbsd_export::onnx::write(&graph, "linear.onnx", &Default::default())?;
//! # Ok::<(), mbsd_export::ExportError>(())
//! ```

mod boundary;
pub mod bundle;
mod capture;
pub mod compared;
pub mod dims;
mod error;
mod evaluate;
pub mod graph;
pub mod layout;
mod lower;
pub mod mbsd;
pub mod onnx;
pub mod passes;
mod solve;

use burn::module::Module;

pub use boundary::{Extent, InputSpec, Inputs, Output, OutputTensor};
pub use error::ExportError;
pub use graph::{DType, Graph};

/// Declares the inputs of a forward and compiles it.
#[derive(Debug, Clone, Default)]
pub struct Compiler {
    inputs: Vec<InputSpec>,
}

impl Compiler {
    /// A compiler with no inputs declared.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a float input. Equal names are one size, in this input and in others.
    #[must_use]
    pub fn float(self, name: &str, shape: impl IntoIterator<Item = Extent>) -> Self {
        self.input(name, DType::F32, shape)
    }

    /// Declares a 64-bit integer input. Equal names are one size, in this input and in others.
    #[must_use]
    pub fn int(self, name: &str, shape: impl IntoIterator<Item = Extent>) -> Self {
        self.input(name, DType::I64, shape)
    }

    fn input(mut self, name: &str, dtype: DType, shape: impl IntoIterator<Item = Extent>) -> Self {
        self.inputs.push(InputSpec { name: name.to_owned(), dtype, shape: shape.into_iter().collect() });
        self
    }

    /// Records the forward at `2^symbols + 1` sets of sizes and returns the optimized graph. Parameters are read from
    /// the module only when the graph is written.
    ///
    /// # Errors
    /// See [`ExportError`]: an operation without a lowering, an extent that is no polynomial over the named sizes, a
    /// forward that does something else at other sizes or panics.
    pub fn compile<M: Module>(
        &self,
        module: &M,
        forward: impl Fn(&M, &Inputs) -> Vec<Output>,
    ) -> Result<Graph, ExportError> {
        let symbols = capture::symbols(&self.inputs)?;
        let sizes = capture::trace_sizes(&symbols)?;
        let weights = capture::parameters(module);
        let trace_at = |sizes: Vec<i64>| {
            let trace = capture::trace(module, &weights, &self.inputs, &symbols, &sizes, &forward)?;
            let mut graph = lower::lower(&trace)?;
            passes::canonicalize(&mut graph);
            Ok::<_, ExportError>(solve::Lowered { sizes: trace.sizes, graph })
        };
        let corner = |mask: usize| sizes.iter().enumerate().map(|(i, s)| s[mask >> i & 1]).collect();
        let traces = (0..1 << symbols.len()).map(|mask| trace_at(corner(mask))).collect::<Result<Vec<_>, _>>()?;
        let check = trace_at(sizes.iter().map(|s| s[2]).collect())?;
        let corners: Vec<[i64; 2]> = sizes.iter().map(|s| [s[0], s[1]]).collect();
        let names: Vec<String> = symbols.into_iter().map(|(name, _)| name).collect();
        let mut graph = solve::solve(&names, &corners, &traces, &check, &self.inputs)?;
        passes::optimize(&mut graph);
        Ok(graph)
    }
}
