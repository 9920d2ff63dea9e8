//! Whole runs over a small synthetic catalogue: they learn, resume exactly, and fail in words.

mod catalogue;
mod failures;
mod runs;
