//! `mbsd tag`.

use crate::cli::TagArgs;

pub(crate) fn run(args: TagArgs) -> anyhow::Result<()> {
    anyhow::bail!("`mbsd tag` cannot run yet: {args:?}")
}
