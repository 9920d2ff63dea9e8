//! `mbsd tag`.

use std::num::NonZeroUsize;

use mbsd_data::{Keep, read_tags};
use mbsd_runtime::job::{self, TagOptions};

use super::catalogue;
use crate::cli::TagArgs;

pub(crate) fn run(args: TagArgs) -> anyhow::Result<()> {
    let tags = read_tags(&args.tags)?;
    let model = catalogue::open_model(&args.bundle, &args.engine)?;
    let options = TagOptions { top: args.top.map(NonZeroUsize::get), threshold: args.threshold };
    catalogue::run(&args.input, &args.output, &args.engine, Keep::All, |job| job::tag(&model, &tags, options, job))
}
