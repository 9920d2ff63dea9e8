//! From products to what the graphs read: routed, tokenized, decoded. Each piece of work is done once a product,
//! however many tags are asked about it.

use std::sync::Arc;

use mbsd_data::{BadRow, ByColumn, Product};
use mbsd_spec::image::decode;
use mbsd_spec::text::{TextIds, TextRow};
use mbsd_spec::{RowError, Variant};
use serde_json::Value;

use super::JobError;
use super::clock::{Clock, Stage};
use super::model::Model;
use super::route::{Modalities, route};
use super::texts::Texts;

/// What is asked of every product.
#[derive(Debug)]
pub(super) enum Question {
    /// A logit for each of these tags, or of those that a column's value chooses among them.
    Tags(Arc<Tags>),
    /// A logit for the tag in this further column of the product.
    TagColumn(usize),
    /// The product alone: class logits, or its pooled vector.
    Product,
}

/// Tags, tokenized.
#[derive(Debug)]
pub(super) struct Tags {
    ids: Vec<TextIds>,
    /// `[CLS] tag [SEP]` of each, under one-way attention.
    rows: Vec<Arc<TextRow>>,
    /// A further column of the product, and the lists by its value.
    by: Option<(usize, ByColumn)>,
}

impl Tags {
    /// Tokenizes tags.
    ///
    /// # Errors
    /// [`JobError::Setting`] for one that is too long for the model.
    pub(super) fn new(model: &Model, tags: &[String], by: Option<(usize, ByColumn)>) -> Result<Self, JobError> {
        let tokenizer = &model.tokenizer;
        let ids: Vec<TextIds> = tags.iter().map(|tag| tokenizer.encode(tag)).collect();
        let mut rows = Vec::new();
        for (tag, ids) in tags.iter().zip(&ids) {
            let row = match model.title_position {
                Some(title_position) => tokenizer.tag_row(ids, title_position),
                None => tokenizer.pair_row(ids, Some(&TextIds::default()), model.max_text_tokens),
            };
            let row = row.map_err(|error| JobError::Setting(format!("tag `{tag}`: {error}")))?;
            rows.extend(model.title_position.map(|_| Arc::new(row)));
        }
        Ok(Self { ids, rows, by })
    }

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
    pub(super) asked: Asked,
    /// `[3, height, width]`, where the variant sees images.
    pub(super) pixels: Option<Vec<f32>>,
}

/// The text that a product and what is asked about it become.
#[derive(Debug)]
pub(super) enum Asked {
    /// A sequence for each question; none for an image that is asked nothing.
    Sequences(Vec<TextRow>),
    /// One-way attention: the title, where the variant sees it, and the tags, each by itself.
    Apart { title: Option<TextRow>, tags: Vec<Arc<TextRow>> },
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
    let (variant, asked) = clock.during(Stage::Tokenize, || prepare_texts(preparation, product))?;
    let pixels = match &product.image {
        Some(image) if variant != Variant::Text => Some(
            clock.during(Stage::Decode, || Ok::<_, RowError>(model.preprocessor.pixels(&decode(&image.read()?)?)))?,
        ),
        _ => None,
    };
    Ok(Prepared { variant, asked, pixels })
}

fn prepare_texts(preparation: &Preparation<'_>, product: &Product) -> Result<(Variant, Asked), RowError> {
    let &Preparation { model, question, forced, texts, .. } = preparation;
    let tokenizer = &model.tokenizer;
    let title: Option<Arc<TextIds>> =
        product.title.as_deref().map(|title| texts.ids(title)).filter(|ids| !ids.is_empty());
    let has = Modalities { title: title.is_some(), image: product.image.is_some() };
    let variant = route(has, &model.available, forced)?;
    let seen_title = title.as_deref().filter(|_| variant != Variant::Image);
    if let Some(title_position) = model.title_position {
        let tags = match question {
            Question::Tags(tags) => tags.positions(product)?.into_iter().map(|tag| tags.rows[tag].clone()).collect(),
            Question::TagColumn(column) => {
                vec![Arc::new(tokenizer.tag_row(&texts.ids(tag_of(product, *column)?), title_position)?)]
            }
            Question::Product => Vec::new(),
        };
        let room = model.max_text_tokens.saturating_sub(title_position);
        let title = seen_title.map(|title| tokenizer.context_row(title, room));
        return Ok((variant, Asked::Apart { title, tags }));
    }
    let row = |tag: &TextIds| Ok(tokenizer.pair_row(tag, seen_title, model.max_text_tokens)?);
    let rows = match question {
        Question::Tags(tags) => {
            let positions = tags.positions(product)?;
            positions.into_iter().map(|tag| row(&tags.ids[tag])).collect::<Result<_, RowError>>()?
        }
        Question::TagColumn(column) => vec![row(&texts.ids(tag_of(product, *column)?))?],
        Question::Product => seen_title.iter().map(|title| tokenizer.title_row(title, model.max_text_tokens)).collect(),
    };
    Ok((variant, Asked::Sequences(rows)))
}

fn tag_of(product: &Product, column: usize) -> Result<&str, RowError> {
    match product.columns.get(column) {
        Some(Value::String(tag)) if !tag.trim().is_empty() => Ok(tag),
        _ => Err(RowError::new("missing_tag", "the tag is null, empty or not text")),
    }
}
