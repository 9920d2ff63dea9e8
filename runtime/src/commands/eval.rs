//! `mbsd eval`.

use crate::cli::EvalArgs;

pub(crate) fn run(args: EvalArgs) -> anyhow::Result<()> {
    anyhow::bail!("`mbsd eval` cannot run yet: {args:?}")
}
