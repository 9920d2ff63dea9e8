//! Whole runs over a small synthetic catalogue: they learn, resume exactly, and fail in words.

mod ablation;
mod catalogue;
mod commands;
mod devices;
mod failures;
mod forms;
mod interrupted;
mod networks;
mod one_way;
mod pretraining;
mod runs;
mod teachers;
