//! `mbsd tag`.

use std::num::NonZeroUsize;

use mbsd_data::read_tags;
use mbsd_runtime::job::{self, TagOptions};
use mbsd_spec::bundle::sha256;
use serde_json::json;

use super::catalogue::{self, Arguments};
use crate::cli::TagArgs;

pub(crate) fn run(args: TagArgs) -> anyhow::Result<()> {
    let tags = read_tags(&args.tags)?;
    let model = catalogue::open_model(&args.bundle, &args.engine)?;
    let options = TagOptions { top: args.top.map(NonZeroUsize::get), threshold: args.threshold };
    let arguments = Arguments { bundle: &args.bundle, input: &args.input, engine: &args.engine };
    let own = json!({
        "command": "tag",
        "tags": sha256(json!(tags).to_string().as_bytes()),
        "top": options.top,
        "threshold": options.threshold,
    });
    catalogue::run_sharded(&arguments, &args.output, own, |job| job::tag(&model, &tags, options, job))
}
