//! A row of the tables: a module with its inputs, and the operations its graph is expected to consist of.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::TensorData;
use mbsd_export::{Compiler, Extent, Graph, Inputs, Output, onnx};
use mbsd_runtime::engine::{EngineKind, SessionOptions};
use mbsd_spec::{NamedTensors, Tensor};
use mbsd_tests::graphs::keep;
use mbsd_tests::models::noise;
use mbsd_tests::{engines, max_difference, tolerance};

/// An input: its name and extents, numbers or named sizes apart by spaces.
#[derive(Clone, Copy)]
pub(crate) enum In {
    /// Values in [-1, 1).
    Float(&'static str, &'static str),
    /// Values in 0..n.
    Int(&'static str, &'static str, usize),
}

impl In {
    fn extents(self) -> Vec<Extent> {
        let (Self::Float(_, extents) | Self::Int(_, extents, _)) = self;
        let extent = |word: &str| word.parse::<usize>().map_or_else(|_| Extent::symbol(word), Extent::Fixed);
        extents.split(' ').map(extent).collect()
    }

    fn name(self) -> &'static str {
        let (Self::Float(name, _) | Self::Int(name, ..)) = self;
        name
    }
}

/// Two sets of sizes, in the order in which a case names them; neither is one that the compiler traces with.
const SIZES: [[usize; 3]; 2] = [[1, 6, 4], [4, 10, 9]];

/// Compiles, runs and compares; leaves out the given engines.
type Check = Box<dyn Fn(&[EngineKind]) -> Result<(), String>>;

/// A module whose graph is compared with Burn through every engine.
pub(crate) struct Case {
    name: &'static str,
    check: Check,
    without: Vec<EngineKind>,
}

impl Case {
    /// `form` are the graph's operations in order, apart by spaces, or `*` for any.
    pub(crate) fn new<M: Module + 'static>(
        name: &'static str,
        inputs: &'static [In],
        form: &'static str,
        module: M,
        forward: fn(&M, &Inputs) -> Vec<Output>,
    ) -> Self {
        Self {
            name,
            check: Box::new(move |without| check(name, inputs, form, &module, forward, without)),
            without: Vec::new(),
        }
    }

    /// The same for one float input `x` and one output.
    pub(crate) fn one<M: Module + 'static, T: mbsd_export::OutputTensor + 'static, const D: usize>(
        name: &'static str,
        extents: &'static str,
        form: &'static str,
        module: M,
        forward: fn(&M, burn::tensor::Tensor<D>) -> T,
    ) -> Self {
        let check = move |without: &[EngineKind]| {
            let inputs = [In::Float("x", extents)];
            let forward = move |module: &M, inputs: &Inputs| vec![Output::new("y", forward(module, inputs.float("x")))];
            check(name, &inputs, form, &module, forward, without)
        };
        Self { name, check: Box::new(check), without: Vec::new() }
    }

    /// Leaves out tract, which does not take the graph: `docs/compiler.md` says so.
    pub(crate) fn without_tract(mut self) -> Self {
        self.without.push(EngineKind::Tract);
        self
    }

    /// A recurrent layer over four steps; its graph is too long to be written down.
    pub(crate) fn steps<M: Module + 'static>(
        name: &'static str,
        module: M,
        forward: fn(&M, burn::tensor::Tensor<3>) -> burn::tensor::Tensor<3>,
    ) -> Self {
        Self::one(name, "batch 4 3", "*", module, forward)
    }
}

/// Runs all cases and reports every one that fails.
pub(crate) fn run(cases: Vec<Case>) {
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case.name, (case.check)(&case.without).err()?)))
        .collect();
    assert!(failed.is_empty(), "{} of {} cases fail\n\n{}", failed.len(), cases.len(), failed.join("\n\n"));
}

fn check<M: Module>(
    name: &str,
    inputs: &[In],
    form: &str,
    module: &M,
    forward: impl Fn(&M, &Inputs) -> Vec<Output>,
    without: &[EngineKind],
) -> Result<(), String> {
    let compiler = inputs.iter().fold(Compiler::new(), |compiler, input| match input {
        In::Float(name, _) => compiler.float(name, input.extents()),
        In::Int(name, ..) => compiler.int(name, input.extents()),
    });
    let graph = compiler.compile(module, &forward).map_err(|error| error.to_string())?;
    let labels: Vec<String> = graph.nodes.iter().map(|node| node.op.label()).collect();
    if form != "*" && labels.join(" ") != form {
        return Err(format!("consists of `{}`, not of `{form}`", labels.join(" ")));
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("graph.onnx");
    onnx::write(&graph, &path, &Default::default()).map_err(|error| error.to_string())?;
    keep(&path, name);
    let mut sessions = Vec::new();
    for engine in engines::available().into_iter().filter(|engine| !without.contains(&engine.kind())) {
        let session = engine.load(&path, &SessionOptions::default());
        let failed = |error| format!("{} does not load it: {:?}\n{graph}", engine.kind(), anyhow::Error::from(error));
        sessions.push((engine.kind(), session.map_err(failed)?));
    }
    for (seed, sizes) in (1..).zip(SIZES) {
        let values = values(inputs, &graph, &sizes, seed);
        let data = values.iter().map(|(name, tensor)| (name.clone(), burn_data(tensor))).collect::<BTreeMap<_, _>>();
        let expected = compiler.evaluate(module, &data, &forward).map_err(|error| error.to_string())?;
        for (kind, session) in &mut sessions {
            let found = session.run(&values).map_err(|error| format!("{kind}: {:?}", anyhow::Error::from(error)))?;
            for (name, expected) in &expected {
                same(expected, &found[name]).map_err(|reason| format!("{kind}: `{name}` {reason}\n{graph}"))?;
            }
        }
    }
    Ok(())
}

/// Values for every input at the given sizes.
fn values(inputs: &[In], graph: &Graph, sizes: &[usize], seed: u64) -> NamedTensors {
    let extent = |extent: &Extent| match extent {
        Extent::Fixed(fixed) => *fixed,
        Extent::Symbol { name, .. } => {
            sizes[graph.symbols.iter().position(|symbol| symbol == name).expect("every named size is a symbol")]
        }
    };
    let one = |(number, input): (u64, &In)| {
        let shape: Vec<usize> = input.extents().iter().map(extent).collect();
        let count = shape.iter().product();
        let tensor = match input {
            In::Float(..) => Tensor::f32(shape, noise(count, seed * 31 + number)),
            In::Int(_, _, below) => {
                let any = noise(count, seed * 17 + number);
                Tensor::i64(shape, any.iter().map(|v| ((v + 1.0) / 2.0 * *below as f32) as i64).collect::<Vec<_>>())
            }
        };
        (input.name().to_owned(), tensor.expect("sizes agree"))
    };
    (1..).zip(inputs).map(one).collect()
}

fn burn_data(tensor: &Tensor) -> TensorData {
    match tensor {
        Tensor::F32 { shape, data } => TensorData::new(data.to_vec(), shape.to_vec()),
        Tensor::I64 { shape, data } => TensorData::new(data.to_vec(), shape.to_vec()),
    }
}

/// Floats within the tolerance of engines, everything else equal.
fn same(expected: &TensorData, found: &Tensor) -> Result<(), String> {
    let shape = expected.shape().to_vec();
    if found.shape() != shape {
        return Err(format!("has shape {:?}, not {shape:?}", found.shape()));
    }
    match found {
        Tensor::F32 { data, .. } => {
            let expected: Vec<f32> = expected.iter::<f32>().collect();
            let difference = max_difference(data, &expected);
            if difference > tolerance::ENGINE {
                return Err(format!("differs by {difference:e}: {:?} instead of {:?}", head(data), head(&expected)));
            }
        }
        Tensor::I64 { data, .. } => {
            let expected: Vec<i64> = expected.iter::<i64>().collect();
            if data.to_vec() != expected {
                return Err(format!("is {:?} instead of {:?}", head(data), head(&expected)));
            }
        }
    }
    Ok(())
}

fn head<T: Copy>(values: &[T]) -> Vec<T> {
    values.iter().copied().take(8).collect()
}
