//! Whole runs over a small synthetic catalogue: they learn, resume exactly, and fail in words.

mod ablation;
mod catalogue;
mod devices;
mod failures;
mod networks;
mod one_way;
mod pretraining;
mod runs;
mod teachers;
