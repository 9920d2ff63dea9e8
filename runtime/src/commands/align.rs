//! `mbsd align`.

use mbsd_data::{Keep, PairOptions};
use mbsd_runtime::job::{self, AlignOptions};

use super::catalogue::{self, Arguments};
use crate::cli::AlignArgs;

pub(crate) fn run(args: AlignArgs) -> anyhow::Result<()> {
    let model = catalogue::open_model(&args.bundle, &args.engine)?;
    let options = AlignOptions { pairs: &args.pairs, columns: PairOptions::default(), threshold: args.threshold };
    // Nothing of a product but its vector is used.
    let keep = Keep::Named(Vec::new());
    let arguments = Arguments { bundle: &args.bundle, input: &args.input, engine: &args.engine };
    catalogue::run(&arguments, &args.output, keep, |job| job::align(&model, &options, job))
}
