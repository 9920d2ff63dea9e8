//! `mbsd classify`.

use mbsd_runtime::job::{self, ClassifyOptions};
use serde_json::json;

use super::catalogue::{self, Arguments};
use crate::cli::ClassifyArgs;

pub(crate) fn run(args: ClassifyArgs) -> anyhow::Result<()> {
    let model = catalogue::open_model(&args.bundle, &args.engine)?;
    let options = ClassifyOptions { top: args.top.get() };
    let arguments = Arguments { bundle: &args.bundle, input: &args.input, engine: &args.engine };
    let own = json!({"command": "classify", "top": options.top});
    catalogue::run_sharded(&arguments, &args.output, own, |job| job::classify(&model, options, job))
}
