//! From products to what the graphs read: routed, tokenized, decoded. Each piece of work is done once a product,
//! however many tags are asked about it.

use std::sync::Arc;

use mbsd_data::{BadRow, ByColumn, Product};
use mbsd_spec::image::decode;
use mbsd_spec::text::{TextIds, TextRow};
use mbsd_spec::{RowError, Variant};
use serde_json::Value;

use super::clock::{Clock, Stage};
use super::model::Model;
use super::route::{Modalities, route};
use super::texts::Texts;

/// What is asked of every product.
#[derive(Debug)]
pub(super) enum Question {
    /// A logit for each of these tags, or of those that a column's value chooses among them.
    Tags(Tags),
    /// A logit for the tag in this further column of the product.
    TagColumn(usize),
    /// The product alone: class logits, or its pooled vector.
    Product,
}

/// Tags, tokenized.
#[derive(Debug)]
pub(super) struct Tags {
    pub(super) ids: Vec<TextIds>,
    /// A further column of the product, and the lists by its value.
    pub(super) by: Option<(usize, ByColumn)>,
}

impl Tags {
    /// Positions of the tags that are asked about a product.
    pub(super) fn positions(&self, product: &Product) -> Result<Vec<usize>, RowError> {
        let Some((column, by)) = &self.by else { return Ok((0..self.ids.len()).collect()) };
        let value = product.columns.get(*column).unwrap_or(&Value::Null);
        by.positions(value).map(<[usize]>::to_vec).ok_or_else(|| {
            let message = format!("no tags are listed for `{}` {value}, and there is no default list", by.column);
            RowError::new("no_tags", message)
        })
    }

    /// The most tags that a product is asked.
    pub(super) fn most(&self) -> usize {
        self.by.as_ref().map_or(self.ids.len(), |(_, by)| by.longest())
    }
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

/// With what rows are prepared.
pub(super) struct Preparation<'a> {
    pub(super) model: &'a Model,
    pub(super) question: &'a Question,
    pub(super) forced: Option<Variant>,
    pub(super) texts: &'a Texts<'a>,
    pub(super) clock: &'a Clock,
}

/// Prepares one row. The image of the product is let go: it may be large, and nothing needs it any more.
pub(super) fn prepare(preparation: &Preparation<'_>, row: Result<Product, BadRow>) -> Row {
    match row {
        Ok(mut product) => {
            let prepared = prepare_product(preparation, &product);
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

fn prepare_product(preparation: &Preparation<'_>, product: &Product) -> Result<Prepared, RowError> {
    let &Preparation { model, clock, .. } = preparation;
    let (variant, texts) = clock.during(Stage::Tokenize, || prepare_texts(preparation, product))?;
    let pixels = match &product.image {
        Some(image) if variant != Variant::Text => Some(
            clock.during(Stage::Decode, || Ok::<_, RowError>(model.preprocessor.pixels(&decode(&image.read()?)?)))?,
        ),
        _ => None,
    };
    Ok(Prepared { variant, texts, pixels })
}

fn prepare_texts(preparation: &Preparation<'_>, product: &Product) -> Result<(Variant, Vec<TextRow>), RowError> {
    let &Preparation { model, question, forced, texts, .. } = preparation;
    let tokenizer = &model.tokenizer;
    let title: Option<Arc<TextIds>> =
        product.title.as_deref().map(|title| texts.ids(title)).filter(|ids| !ids.is_empty());
    let has = Modalities { title: title.is_some(), image: product.image.is_some() };
    let variant = route(has, &model.available, forced)?;
    let seen_title = title.as_deref().filter(|_| variant != Variant::Image);
    let row = |tag: &TextIds| Ok(tokenizer.pair_row(tag, seen_title, model.max_text_tokens)?);
    let rows = match question {
        Question::Tags(tags) => {
            let positions = tags.positions(product)?;
            positions.into_iter().map(|tag| row(&tags.ids[tag])).collect::<Result<_, RowError>>()?
        }
        Question::TagColumn(column) => vec![row(&texts.ids(tag_of(product, *column)?))?],
        Question::Product => seen_title.iter().map(|title| tokenizer.title_row(title, model.max_text_tokens)).collect(),
    };
    Ok((variant, rows))
}

fn tag_of(product: &Product, column: usize) -> Result<&str, RowError> {
    match product.columns.get(column) {
        Some(Value::String(tag)) if !tag.trim().is_empty() => Ok(tag),
        _ => Err(RowError::new("missing_tag", "the tag is null, empty or not text")),
    }
}
