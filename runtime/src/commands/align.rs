//! `mbsd align`.

use crate::cli::AlignArgs;

pub(crate) fn run(args: AlignArgs) -> anyhow::Result<()> {
    anyhow::bail!("`mbsd align` cannot run yet: {args:?}")
}
