//! `mbsd verify`: is the bundle whole, and does it do on this machine what it did when it was made?

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use mbsd_runtime::engine::{self, Engine, EngineError, EngineKind, causes};
use mbsd_runtime::verify::{Check, Outcome, verify};
use mbsd_spec::Bundle;
use mbsd_spec::bundle::Parity;
use serde_json::json;

use crate::cli::VerifyArgs;

/// Measured with where nobody names engines.
const USUAL: [EngineKind; 2] = [EngineKind::Tract, EngineKind::OrtCpu];

pub(crate) fn run(args: VerifyArgs) -> Result<ExitCode> {
    let bundle = Bundle::open(&args.bundle.bundle)?;
    let (engines, missing) = engines(&args)?;
    let mut out = io::stdout().lock();
    if !args.json {
        writeln!(out, "{}: {} files, all digests right", bundle.root().display(), bundle.manifest().files.len())?;
    }
    // A line as soon as it is known: a large graph takes a while.
    let mut written = Ok(());
    let checks = verify(&bundle, &engines, |check| {
        if !args.json && written.is_ok() {
            written = writeln!(out, "  {}", line(check));
        }
    })?;
    written?;
    let failed = checks.iter().filter(|check| check.failed()).count();
    let measured = checks.iter().filter(|c| matches!(c.outcome, Outcome::Agrees(_) | Outcome::Differs(_))).count();
    if args.json {
        let missing: Vec<_> =
            missing.iter().map(|(kind, reason)| json!({"engine": kind.name(), "reason": reason})).collect();
        let report = json!({
            "bundle": bundle.root(), "files": bundle.manifest().files.len(), "ok": failed == 0, "checks": checks,
            "engines_not_here": missing,
        });
        writeln!(out, "{report:#}")?;
    } else {
        for (kind, reason) in &missing {
            writeln!(out, "  {kind} is not here: {reason}")?;
        }
        let not =
            checks.len() - measured - checks.iter().filter(|c| matches!(c.outcome, Outcome::Fails { .. })).count();
        writeln!(out, "{measured} measured, {not} not measured, {failed} failed")?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

type Missing = Vec<(EngineKind, String)>;

/// The engines to measure with, and those of the usual ones that are not here. One that was asked for has to be.
fn engines(args: &VerifyArgs) -> Result<(Vec<Arc<dyn Engine>>, Missing)> {
    let options = args.engine_options();
    let (mut here, mut missing) = (Vec::new(), Missing::new());
    // A library that was named is one that was asked for.
    let asked = !args.engines.is_empty() || args.onnxruntime.is_some();
    let kinds = if args.engines.is_empty() { &USUAL[..] } else { &args.engines };
    for &kind in kinds {
        match engine::open(kind, &options) {
            Ok(engine) => here.push(engine),
            Err(error) if asked => return Err(error.into()),
            Err(EngineError::Unavailable { source, .. }) => missing.push((kind, causes(source.as_ref()))),
            Err(error) => missing.push((kind, causes(&error))),
        }
    }
    Ok((here, missing))
}

fn line(check: &Check) -> String {
    let Check { variant, precision, engine, outcome, tolerance, recorded } = check;
    let told = match outcome {
        Outcome::Agrees(measured) | Outcome::Differs(measured) => {
            let verdict = if check.failed() { "FAILED" } else { "ok" };
            let limit = tolerance.map_or_else(|| "no tolerance".to_owned(), |limit| format!("tolerance {limit:.1e}"));
            let (max, mean) = (measured.max_abs_diff, measured.mean_abs_diff);
            format!("{verdict}: max difference {max:.2e}, mean {mean:.2e}, {} rows, {limit}", measured.rows)
        }
        Outcome::Fails { reason } => format!("FAILED: {reason}"),
        Outcome::NotMeasured { reason } => format!("not measured: {reason}"),
    };
    let before = match recorded {
        Some(Parity::Measured(measured)) => {
            format!("; at export {:.2e} with {}", measured.max_abs_diff, measured.engine_version)
        }
        Some(Parity::NotMeasured(why)) => format!("; at export {why}"),
        None => String::new(),
    };
    format!("{variant:5} {precision:4} {engine:7} {told}{before}")
}
