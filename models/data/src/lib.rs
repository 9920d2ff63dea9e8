//! Products in: one reader over Parquet, Arrow IPC, JSON Lines, CSV and TSV, with images from files or embedded.
//!
//! An input is a file, a folder of files or a pattern ([`input_files`]).
//!
//! [`Products`] yields one item a row, in the order of the input. A row that cannot be used (broken JSON, invalid
//! UTF-8, a field of the wrong type, a second row of the same id) is an item of its own, a [`BadRow`], and the rows
//! after it follow. Only what concerns the whole file, such as a missing column, is a [`ReadError`].
//!
//! Nothing here decodes pixels or tokenizes; image files are read when [`ImageSource::read`] is called, so a thread
//! that walks the rows is never held up by them. Local files only, no network.

mod arrays;
mod cell;
mod delimited;
mod error;
mod fields;
mod format;
pub mod guard;
mod image;
mod inputs;
mod ipc;
mod jsonl;
mod many;
mod pairs;
mod parquet;
mod product;
mod product_pairs;
pub mod staged;
mod table;
mod tags;

pub use cell::{Column, ColumnType};
pub use error::{BadRow, ReadError};
pub use fields::{FieldOptions, FieldRow, Fields, integer, texts};
pub use image::{ImageFolder, ImageSource};
pub use inputs::{input_files, input_folder, reads};
pub use pairs::{Pair, PairOptions, Pairs};
pub use product::{AbsentImages, DuplicateIds, Ids, Keep, Product, ProductOptions, Products};
pub use product_pairs::{ProductPair, ProductPairOptions, ProductPairs};
pub use tags::{ByColumn, Candidates, attribute_of, read_candidates, read_tags, truth};
