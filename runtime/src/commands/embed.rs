//! `mbsd embed`.

use mbsd_data::Keep;
use mbsd_runtime::job;

use super::catalogue;
use crate::cli::EmbedArgs;

pub(crate) fn run(args: EmbedArgs) -> anyhow::Result<()> {
    let model = catalogue::open_model(&args.bundle, &args.engine)?;
    catalogue::run(&args.input, &args.output, &args.engine, Keep::All, |job| job::embed(&model, job))
}
