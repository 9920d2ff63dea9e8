//! 8-bit graphs: their arithmetic, that a row's score is its own, and the command that makes and judges them.

mod arithmetic;
mod command;
mod fixture;
mod ranges;
mod refused;
mod scores;
