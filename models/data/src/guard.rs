//! Panics of libraries that take some things in a file for granted become errors.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use parquet::errors::ParquetError;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` and makes an error of a panic's message, `None` where it has no text. Nothing is printed.
///
/// The caller must not use what `work` borrowed mutably after an error: it may be half changed.
pub fn catch<T, E>(work: impl FnOnce() -> Result<T, E>, error: impl FnOnce(Option<String>) -> E) -> Result<T, E> {
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
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Err(error(message))
    })
}

/// As [`catch`], for what the Parquet and Arrow readers do.
pub(crate) fn reading<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch(work, |message| ParquetError::General(message.unwrap_or_else(|| "it contradicts itself".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        let caught = |work: fn() -> Result<i32, String>| catch(work, |message| message.unwrap_or_default());
        assert_eq!(caught(|| panic!("axis {} out of range", 3)), Err("axis 3 out of range".to_owned()));
        assert_eq!(caught(|| Ok(5)), Ok(5));
        assert!(!GUARDED.get());
    }
}
