//! Panics inside an engine become errors.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use super::Source;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` and turns a panic into an error that carries the panic's message. Nothing is printed.
///
/// The caller must not use what `work` borrowed mutably after an error: it may be half changed.
pub(super) fn catch<T>(work: impl FnOnce() -> Result<T, Source>) -> Result<T, Source> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                usual(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    outcome.unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(format!("the engine panicked: {message}").into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        let error = catch::<()>(|| panic!("axis {} out of range", 3)).unwrap_err();
        assert_eq!(error.to_string(), "the engine panicked: axis 3 out of range");
        assert_eq!(catch(|| Ok(5)).unwrap(), 5);
        assert!(!GUARDED.get());
    }
}
