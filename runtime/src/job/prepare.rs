//! From products to what the graphs read: routed, tokenized, decoded. Each piece of work is done once a product,
//! however many tags are asked about it.

use mbsd_data::{BadRow, Product};
use mbsd_spec::image::decode;
use mbsd_spec::text::{TextIds, TextRow};
use mbsd_spec::{RowError, Variant};
use serde_json::Value;

use super::model::Model;
use super::route::{Modalities, route};

/// What is asked of every product.
#[derive(Debug)]
pub(super) enum Question {
    /// A logit for each of these tags.
    Tags(Vec<TextIds>),
    /// A logit for the tag in this further column of the product.
    TagColumn(usize),
    /// The product alone: class logits, or its pooled vector.
    Product,
}

/// A product ready for its graph.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) variant: Variant,
    /// A text row for each question; empty for an image asked nothing.
    pub(super) texts: Vec<TextRow>,
    /// `[3, height, width]`, where the variant sees images.
    pub(super) pixels: Option<Vec<f32>>,
}

/// A row on its way: what the input had, and what became of it.
pub(super) struct Row {
    pub(super) product: Result<Product, BadRow>,
    pub(super) prepared: Result<Prepared, RowError>,
}

/// Prepares one row. The image of the product is let go: it may be large, and nothing needs it any more.
pub(super) fn prepare(
    model: &Model,
    question: &Question,
    forced: Option<Variant>,
    row: Result<Product, BadRow>,
) -> Row {
    match row {
        Ok(mut product) => {
            let prepared = prepare_product(model, question, forced, &product);
            if let Some(mbsd_data::ImageSource::Embedded { bytes, .. }) = &mut product.image {
                *bytes = [].into();
            }
            Row { product: Ok(product), prepared }
        }
        Err(bad) => {
            let error = bad.error.clone();
            Row { product: Err(bad), prepared: Err(error) }
        }
    }
}

fn prepare_product(
    model: &Model,
    question: &Question,
    forced: Option<Variant>,
    product: &Product,
) -> Result<Prepared, RowError> {
    let tokenizer = &model.tokenizer;
    let title = product.title.as_deref().map(|title| tokenizer.encode(title)).filter(|ids| !ids.is_empty());
    let has = Modalities { title: title.is_some(), image: product.image.is_some() };
    let variant = route(has, &model.available, forced)?;
    let seen_title = title.as_ref().filter(|_| variant != Variant::Image);
    let row = |tag: &TextIds| Ok(tokenizer.pair_row(tag, seen_title, model.max_text_tokens)?);
    let texts = match question {
        Question::Tags(tags) => tags.iter().map(row).collect::<Result<_, RowError>>()?,
        Question::TagColumn(column) => vec![row(&tokenizer.encode(tag_of(product, *column)?))?],
        Question::Product => seen_title.iter().map(|title| tokenizer.title_row(title, model.max_text_tokens)).collect(),
    };
    let pixels = match &product.image {
        Some(image) if variant != Variant::Text => Some(model.preprocessor.pixels(&decode(&image.read()?)?)),
        _ => None,
    };
    Ok(Prepared { variant, texts, pixels })
}

fn tag_of(product: &Product, column: usize) -> Result<&str, RowError> {
    match product.columns.get(column) {
        Some(Value::String(tag)) if !tag.trim().is_empty() => Ok(tag),
        _ => Err(RowError::new("missing_tag", "the tag is null, empty or not text")),
    }
}
