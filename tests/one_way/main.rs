//! One-way attention across crates: its graphs through the engines, and the commands over such a bundle.

mod commands;
mod graphs;

/// What a score may differ by with what else is asked.
const OTHERS: f32 = 1e-6;
