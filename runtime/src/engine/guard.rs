//! Panics inside an engine become errors.

use super::Source;

/// Runs `work` and turns a panic into an error that carries the panic's message; see [`mbsd_data::guard::catch`].
pub(super) fn catch<T>(work: impl FnOnce() -> Result<T, Source>) -> Result<T, Source> {
    mbsd_data::guard::catch(work, |message| {
        format!("the engine panicked: {}", message.as_deref().unwrap_or("no message")).into()
    })
}
