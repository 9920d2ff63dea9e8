//! `mbsd classify`.

use crate::cli::ClassifyArgs;

pub(crate) fn run(args: ClassifyArgs) -> anyhow::Result<()> {
    anyhow::bail!("`mbsd classify` cannot run yet: {args:?}")
}
