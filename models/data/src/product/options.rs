//! How products lie in a file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What to do with the second row of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DuplicateIds {
    /// The first row is delivered, each later one is a bad row (`duplicate_id`) that names the first: results are
    /// looked up by id, and two rows of one id would make that ambiguous. Takes about 50 bytes a product.
    #[default]
    Refuse,
    /// All are delivered: files with several rows a product, such as labelled (product, tag) rows.
    Allow,
}

/// Which further columns to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Keep {
    /// All of them.
    #[default]
    All,
    /// These, each of which must be there.
    Named(Vec<String>),
}

/// Where ids come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Ids {
    /// The id column.
    #[default]
    Column,
    /// The row's number, the first being 1, after this text: for files without ids, such as the paper's samples.
    Rows(String),
}

/// What becomes of an image that cannot be had: a web address, which is never fetched, or a path without a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AbsentImages {
    /// It is an error of its row as soon as it is read, so that a broken image folder does not go unnoticed.
    #[default]
    Refuse,
    /// The product counts as one without an image.
    Drop,
}

/// How products lie in a file.
#[derive(Debug, Clone)]
pub struct ProductOptions {
    /// Column of the id: text or integers.
    pub id_column: String,
    /// Column of the title; a file may lack it if it has images.
    pub title_column: String,
    /// Column of the image, a path or embedded; a file may lack it if it has titles.
    pub image_column: String,
    /// Whether these two must be there where they are not of the usual names: somebody named them.
    pub named_columns_exist: bool,
    /// Folder of the image paths; the folder of the input file where `None`.
    pub images: Option<PathBuf>,
    /// Reads image files outside that folder too. For catalogues one has made oneself.
    pub allow_outside: bool,
    /// Which further columns to read.
    pub keep: Keep,
    /// What to do with the second row of an id.
    pub duplicate_ids: DuplicateIds,
    /// Where ids come from.
    pub ids: Ids,
    /// What becomes of images that cannot be had.
    pub absent_images: AbsentImages,
    /// The columns of a CSV or TSV file without a header line, from left to right.
    pub header: Option<Vec<String>>,
}

impl Default for ProductOptions {
    fn default() -> Self {
        Self {
            id_column: "id".to_owned(),
            title_column: "title".to_owned(),
            image_column: "image".to_owned(),
            named_columns_exist: false,
            images: None,
            allow_outside: false,
            keep: Keep::All,
            duplicate_ids: DuplicateIds::Refuse,
            ids: Ids::Column,
            absent_images: AbsentImages::Refuse,
            header: None,
        }
    }
}
