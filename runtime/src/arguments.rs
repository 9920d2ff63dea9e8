//! Flags that commands over product files have in common, whichever program has the command.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use mbsd_data::{DuplicateIds, Keep, ProductOptions};
use mbsd_spec::{Precision, Variant};

use crate::engine::EngineKind;

/// How products lie in a file, and where their images are.
#[derive(Debug, Clone, Args)]
pub struct ProductArgs {
    /// Folder that image paths are relative to [default: the folder of the file]
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Read image files outside that folder too; only for catalogues you trust
    #[arg(long)]
    pub images_anywhere: bool,
    /// Column of the product id
    #[arg(long, value_name = "NAME", default_value = "id")]
    pub id_column: String,
    /// Column of the title
    #[arg(long, value_name = "NAME", default_value = "title")]
    pub title_column: String,
    /// Column of the image: a path, or embedded bytes
    #[arg(long, value_name = "NAME", default_value = "image")]
    pub image_column: String,
}

impl ProductArgs {
    /// The same for [`mbsd_data::Products`].
    pub fn options(&self, keep: Keep, duplicate_ids: DuplicateIds) -> ProductOptions {
        ProductOptions {
            id_column: self.id_column.clone(),
            title_column: self.title_column.clone(),
            image_column: self.image_column.clone(),
            named_columns_exist: true,
            images: self.images.clone(),
            allow_outside: self.images_anywhere,
            keep,
            duplicate_ids,
            ..ProductOptions::default()
        }
    }
}

/// Where the truth about products is.
#[derive(Debug, Clone, Args)]
pub struct LabelArgs {
    /// Column with the truth
    #[arg(long, value_name = "NAME", default_value = "label")]
    pub label_column: String,
    /// Column with the tag to match, for match bundles
    #[arg(long, value_name = "NAME", default_value = "tag")]
    pub tag_column: String,
    /// Labelled pairs, for alignment bundles: a table of product ids with columns `source` and `target`
    #[arg(long, value_name = "FILE")]
    pub pairs: Option<PathBuf>,
}

/// Takes the name of an engine.
pub fn engine() -> impl TypedValueParser<Value = EngineKind> {
    PossibleValuesParser::new(EngineKind::ALL.iter().map(|kind| kind.name())).try_map(|name| name.parse())
}

/// Takes the name of a precision.
pub fn precision() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(Precision::ALL.iter().map(|precision| precision.name())).try_map(|name| name.parse())
}

/// Takes the name of a variant.
pub fn variant() -> impl TypedValueParser<Value = Variant> {
    PossibleValuesParser::new(Variant::ALL.iter().map(|variant| variant.name())).try_map(|name| name.parse())
}
