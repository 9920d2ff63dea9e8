//! Does a bundle still do here what its manifest says? Every graph through every engine, on the rows that the bundle carries.

use std::collections::BTreeMap;
use std::sync::Arc;

use mbsd_spec::bundle::{Artifact, Measured, Parity, names};
use mbsd_spec::{Bundle, Precision, Variant};
use serde::Serialize;

use crate::engine::{Engine, SessionOptions, causes};
use crate::parity::{ParityError, Reference, tolerance};

/// An 8-bit graph may differ from the model by this many times what was recorded when it was made.
const RECORDED_TIMES: f64 = 2.0;

/// What was measured of one graph on one engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The graph.
    pub variant: Variant,
    /// Its arithmetic.
    pub precision: Precision,
    /// The engine's name.
    pub engine: String,
    /// What came out.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The largest difference accepted; `None` where nothing says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// What the manifest has of this engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Parity>,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Within the tolerance, or there is none to exceed.
    Agrees(Measured),
    /// Further from the model than the tolerance.
    Differs(Measured),
    /// The engine does not load or run the graph, or gives no numbers.
    Fails {
        /// Why.
        reason: String,
    },
    /// There is nothing to compare with, or nothing to run.
    NotMeasured {
        /// Why.
        reason: String,
    },
}

impl Check {
    /// Whether the bundle is not what it should be.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Differs(_) | Outcome::Fails { .. })
    }
}

/// Runs the reference rows of every graph through every engine.
///
/// `progress` is told each check as it ends.
///
/// # Errors
/// [`ParityError`] where reference rows are there but unusable. A graph that an engine does not run is no error but
/// [`Outcome::Fails`].
pub fn verify(
    bundle: &Bundle,
    engines: &[Arc<dyn Engine>],
    mut progress: impl FnMut(&Check),
) -> Result<Vec<Check>, ParityError> {
    let mut checks = Vec::new();
    let mut references: BTreeMap<Variant, Option<Reference>> = BTreeMap::new();
    for artifact in &bundle.manifest().artifacts {
        let reference = match references.remove(&artifact.variant) {
            Some(known) => known,
            None => match bundle.file(&names::reference(artifact.variant))? {
                Some(path) => Some(Reference::read(&path)?),
                None => None,
            },
        };
        for engine in engines {
            let check = check(bundle, artifact, reference.as_ref(), engine.as_ref())?;
            progress(&check);
            checks.push(check);
        }
        references.insert(artifact.variant, reference);
    }
    Ok(checks)
}

fn check(
    bundle: &Bundle,
    artifact: &Artifact,
    reference: Option<&Reference>,
    engine: &dyn Engine,
) -> Result<Check, ParityError> {
    let name = engine.kind().name();
    let recorded = artifact.parity.get(name).cloned();
    let tolerance = tolerance(artifact.precision).or_else(|| recorded_tolerance(artifact, name));
    let outcome = match reference {
        None => {
            let reason = "the bundle has no reference rows for this graph: an earlier build exported it".to_owned();
            Outcome::NotMeasured { reason }
        }
        Some(reference) => {
            let (_, path) = bundle.artifact(artifact.variant, artifact.precision)?;
            match reference.measure(engine, &path, &SessionOptions::default()) {
                Ok(measured) if tolerance.is_some_and(|limit| measured.max_abs_diff > limit) => {
                    Outcome::Differs(measured)
                }
                Ok(measured) => Outcome::Agrees(measured),
                Err(error) => Outcome::Fails { reason: causes(&error) },
            }
        }
    };
    let Artifact { variant, precision, .. } = *artifact;
    Ok(Check { variant, precision, engine: name.to_owned(), outcome, tolerance, recorded })
}

/// Twice what was recorded of this engine, or of the one that was furthest off where this one was not there.
fn recorded_tolerance(artifact: &Artifact, engine: &str) -> Option<f64> {
    let max = |parity: &Parity| match parity {
        Parity::Measured(measured) => Some(measured.max_abs_diff),
        Parity::NotMeasured(_) => None,
    };
    let own = artifact.parity.get(engine).and_then(max);
    own.or_else(|| artifact.parity.values().filter_map(max).reduce(f64::max)).map(|recorded| recorded * RECORDED_TIMES)
}
