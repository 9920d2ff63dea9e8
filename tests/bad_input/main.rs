//! Bad input through the programs: what is wrong with one row is told beside that row and every other row is
//! delivered; what is wrong with a command ends it with a message, exit status 1 (2 for wrong usage) and no output.

mod bundles;
mod commands;
mod files;
mod formats;
mod job;
mod products;
