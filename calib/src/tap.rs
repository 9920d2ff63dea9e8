//! An engine that loads other files than it is asked for, and lets somebody look at what runs.
//!
//! Jobs open a bundle, route, tokenize, decode and cut batches; all of that is wanted here exactly as it is when the bundle
//! is used. So nothing of it is done a second time: the job is given the bundle's f32 graphs, and this engine puts the graph
//! under test in their place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mbsd_runtime::engine::{Engine, EngineError, EngineKind, RuntimeLibrary, Session, SessionOptions};
use mbsd_spec::NamedTensors;
use mbsd_spec::bundle::TensorSpec;

/// Told of every run: inputs, and outputs to be passed on, which it may take from.
pub(crate) type Watch = dyn Fn(&NamedTensors, &mut NamedTensors) + Send + Sync;

/// See the module.
pub(crate) struct Tap {
    engine: Arc<dyn Engine>,
    files: BTreeMap<PathBuf, PathBuf>,
    watch: Option<Arc<Watch>>,
}

impl Tap {
    /// Loads what `files` has for a file, and the file itself where it has nothing.
    pub(crate) fn new(engine: Arc<dyn Engine>, files: BTreeMap<PathBuf, PathBuf>, watch: Option<Arc<Watch>>) -> Self {
        Self { engine, files, watch }
    }
}

impl Engine for Tap {
    fn kind(&self) -> EngineKind {
        self.engine.kind()
    }

    fn version(&self) -> String {
        self.engine.version()
    }

    fn library(&self) -> Option<&RuntimeLibrary> {
        self.engine.library()
    }

    fn load(&self, graph: &Path, options: &SessionOptions) -> Result<Box<dyn Session>, EngineError> {
        let file = self.files.get(graph).map_or(graph, PathBuf::as_path);
        let session = self.engine.load(file, options)?;
        Ok(Box::new(Tapped { session, watch: self.watch.clone() }))
    }
}

struct Tapped {
    session: Box<dyn Session>,
    watch: Option<Arc<Watch>>,
}

impl Session for Tapped {
    fn run(&mut self, inputs: &NamedTensors) -> Result<NamedTensors, EngineError> {
        let mut outputs = self.session.run(inputs)?;
        if let Some(watch) = &self.watch {
            watch(inputs, &mut outputs);
        }
        Ok(outputs)
    }

    fn inputs(&self) -> &[TensorSpec] {
        self.session.inputs()
    }

    fn outputs(&self) -> &[TensorSpec] {
        self.session.outputs()
    }

    fn fork(&self) -> Result<Box<dyn Session>, EngineError> {
        Ok(Box::new(Self { session: self.session.fork()?, watch: self.watch.clone() }))
    }
}
