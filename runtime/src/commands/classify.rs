//! `mbsd classify`.

use mbsd_data::Keep;
use mbsd_runtime::job::{self, ClassifyOptions};

use super::catalogue;
use crate::cli::ClassifyArgs;

pub(crate) fn run(args: ClassifyArgs) -> anyhow::Result<()> {
    let model = catalogue::open_model(&args.bundle, &args.engine)?;
    let options = ClassifyOptions { top: args.top.get() };
    catalogue::run(&args.input, &args.output, &args.engine, Keep::All, |job| job::classify(&model, options, job))
}
