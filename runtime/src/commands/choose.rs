//! `mbsd choose`: the fastest settings within limits.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Result, bail};
use mbsd_runtime::bench::choose::{Floor, Limits, choose};
use serde_json::json;

use super::bench::{quick, read_report};
use crate::cli::ChooseArgs;

pub(crate) fn run(args: ChooseArgs) -> Result<ExitCode> {
    if args.what.variants.len() > 1 {
        bail!("settings are chosen for one graph; give --variants one of them");
    }
    if args.report.is_some() && !args.what.bundles.is_empty() {
        bail!("the report tells of the bundles it was made with: give --report or --bundle, not both");
    }
    let report = match &args.report {
        Some(path) => read_report(path)?,
        None if args.what.bundles.is_empty() => {
            bail!("there is nothing to choose from: give --bundle DIR to measure quickly, or --report FILE.json");
        }
        None => quick(&args.what)?,
    };
    let floor = [("roc_auc", args.min_auc), ("accuracy", args.min_accuracy)];
    let limits = Limits {
        max_ms: args.max_ms,
        percentile: args.percentile,
        floor: floor.into_iter().find_map(|(measure, value)| Some(Floor { measure, value: value? })),
        variant: args.what.variants.first().copied(),
        text: args.what.text.last().map(|text| text.get()),
    };
    let mut out = io::stdout().lock();
    if !report.noise.quiet {
        eprintln!("note: the machine was not quiet when this was measured: {}", report.noise.reasons.join("; "));
    }
    match choose(&report, &limits) {
        Ok(choice) => {
            if args.json {
                writeln!(out, "{:#}", json!(choice))?;
            } else {
                out.write_all(choice.text(args.percentile).as_bytes())?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(none) => {
            if args.json {
                writeln!(out, "{:#}", json!(none))?;
            }
            let mut text = none.reason;
            for (cell, reason) in none.rejected {
                text.push_str(&format!("\n  {cell}: {reason}"));
            }
            bail!(text);
        }
    }
}
