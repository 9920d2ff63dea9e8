//! `mbsd align`.

use mbsd_data::{Keep, PairOptions};
use mbsd_runtime::job::{self, AlignOptions, NeighbourOptions};

use super::catalogue::{self, Arguments};
use crate::cli::AlignArgs;

pub(crate) fn run(args: AlignArgs) -> anyhow::Result<()> {
    let model = catalogue::open_model(&args.bundle, &args.engine)?;
    // Nothing of a product but its vector is used.
    let keep = Keep::Named(Vec::new());
    let arguments = Arguments { bundle: &args.bundle, input: &args.input, engine: &args.engine };
    catalogue::run(&arguments, &args.output, keep, |job| match &args.pairs {
        Some(pairs) => {
            let options = AlignOptions { pairs, columns: PairOptions::default(), threshold: args.threshold };
            job::align(&model, &options, job)
        }
        None => {
            let options = NeighbourOptions {
                neighbours: args.neighbours.get(),
                min_similarity: args.min_similarity,
                threshold: args.threshold,
                groups: args.groups.as_deref(),
            };
            job::find_pairs(&model, &options, job)
        }
    })
}
