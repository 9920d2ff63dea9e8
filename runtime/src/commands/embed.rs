//! `mbsd embed`.

use crate::cli::EmbedArgs;

pub(crate) fn run(args: EmbedArgs) -> anyhow::Result<()> {
    anyhow::bail!("`mbsd embed` cannot run yet: {args:?}")
}
