//! `mbsd embed`.

use mbsd_runtime::job;
use serde_json::json;

use super::catalogue::{self, Arguments};
use crate::cli::EmbedArgs;

pub(crate) fn run(args: EmbedArgs) -> anyhow::Result<()> {
    let model = catalogue::open_model(&args.bundle, &args.engine)?;
    let arguments = Arguments { bundle: &args.bundle, input: &args.input, engine: &args.engine };
    let own = json!({"command": "embed"});
    catalogue::run_sharded(&arguments, &args.output, own, |job| job::embed(&model, job))
}
