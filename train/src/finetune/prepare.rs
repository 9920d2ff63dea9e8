//! A run's data, read and tokenized: everything that is the same for all epochs.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use mbsd_data::{ProductOptions, read_tags};
use mbsd_net::Head;
use mbsd_spec::Config;
use mbsd_spec::image::Preprocessor;
use mbsd_spec::text::Tokenizer;

use super::random;
use crate::TrainError;
use crate::checkpoint::{read_lines, read_parts};
use crate::data::{Assembler, Attributes, Corpus, CorpusOptions, Item, Redaction, Row, TagSet};
use crate::run::{MatchSettings, Run};

/// What a session works on.
pub(super) struct Prepared {
    pub(super) config: Config,
    pub(super) head: Head,
    pub(super) labels: Option<Vec<String>>,
    pub(super) train: Assembler,
    pub(super) validation: Assembler,
    pub(super) validation_rows: Vec<Row>,
    rows: RowSource,
}

/// Where training rows come from.
enum RowSource {
    /// Drawn anew each epoch.
    Drawn(Attributes),
    /// The same each epoch.
    Fixed(Vec<Row>),
}

impl Prepared {
    pub(super) fn train_rows(&self, run: &Run, epoch: u64) -> Vec<Row> {
        match &self.rows {
            RowSource::Drawn(attributes) => attributes.draw(&mut random(run.seed.wrapping_add(1), epoch)),
            RowSource::Fixed(rows) => rows.clone(),
        }
    }
}

/// Reads everything. `resumed` is the checkpoint whose tokenizer and labels are to be used.
pub(super) fn prepare(run: &Run, resumed: Option<&Path>) -> Result<Prepared, TrainError> {
    let tag_names = run.matching.as_ref().map(|settings| read_tags(&settings.tags)).transpose()?;
    if let (Some(settings), Some(names)) = (&run.matching, &tag_names) {
        check_tags(settings, names)?;
    }
    // Pixels depend on the image size alone, which the vocabulary does not change.
    let preprocessor = Preprocessor::new(&run.model.config(1)?);
    let options = corpus_options(run, tag_names.as_deref());
    let mut train = Corpus::read(&run.data.train, &options, &preprocessor)?;
    let limited = CorpusOptions { limit: run.data.validation_products, ..options };
    let mut validation = Corpus::read(&run.data.validation, &limited, &preprocessor)?;

    let parts = resumed.map(read_parts).transpose()?;
    let (tokenizer, known_labels) = match parts {
        Some((_, tokenizer, labels)) => (tokenizer, labels),
        None => (tokenizer(run, &train, tag_names.as_deref())?, None),
    };
    train.tokenize(&tokenizer);
    validation.tokenize(&tokenizer);
    let config = run.model.config(tokenizer.vocab_size())?;
    let max_tokens = config.max_text_tokens();
    let max_tokens = run.data.max_text_tokens.map_or(max_tokens, |given| given.min(max_tokens));

    let tokenizer = Arc::new(tokenizer);
    let tags = tag_names.map(|names| Arc::new(TagSet::new(names, &tokenizer)));
    let no_rows = |path: &Path, reason: &str| TrainError::NoRows { path: path.to_owned(), reason: reason.into() };
    let (head, labels, rows, validation_rows) = match (&run.matching, &run.classification, &tags) {
        (Some(settings), _, Some(tags)) => {
            let attributes = |corpus: &Corpus| Attributes::new(&corpus.items, &settings.attributes, &tags.names);
            let validation_rows = attributes(&validation).draw(&mut random(run.seed, u64::MAX));
            (Head::Match, None, RowSource::Drawn(attributes(&train)), validation_rows)
        }
        (_, Some(settings), _) => {
            let labels = match (known_labels, &settings.labels) {
                (Some(labels), _) => labels,
                (None, Some(path)) => read_lines(path)?,
                (None, None) => distinct_labels(&train.items),
            };
            let rows = labelled(&train.items, &labels);
            let validation_rows = labelled(&validation.items, &labels);
            (Head::Classification { classes: labels.len() }, Some(labels), RowSource::Fixed(rows), validation_rows)
        }
        _ => return Err(TrainError::run("task", "the run has neither [match] nor [classification]")),
    };
    let assembler = |corpus| Assembler {
        corpus: Arc::new(corpus),
        tags: tags.clone(),
        tokenizer: tokenizer.clone(),
        preprocessor: preprocessor.clone(),
        max_tokens,
    };
    let (train, validation) = (assembler(train), assembler(validation));
    let prepared = Prepared { config, head, labels, train, validation, validation_rows, rows };
    if prepared.train_rows(run, 0).is_empty() {
        return Err(no_rows(&run.data.train, "no product has a value of the tags or labels to learn"));
    }
    if prepared.validation_rows.is_empty() {
        return Err(no_rows(&run.data.validation, "no product has a value of the tags or labels to learn"));
    }
    Ok(prepared)
}

/// Every tag must be of an attribute whose column is known.
fn check_tags(settings: &MatchSettings, tags: &[String]) -> Result<(), TrainError> {
    let attribute = |tag: &str| tag.split_once(':').map(|(name, _)| name.to_owned());
    match tags.iter().find(|tag| attribute(tag).is_none_or(|name| !settings.attributes.contains_key(&name))) {
        None => Ok(()),
        Some(tag) => {
            let reason = format!("`{tag}` has no column in match.attributes; tags are written Name:value");
            Err(TrainError::run(settings.tags.display().to_string(), reason))
        }
    }
}

fn corpus_options(run: &Run, tags: Option<&[String]>) -> CorpusOptions {
    let data = &run.data;
    let (columns, redaction) = match (&run.matching, &run.classification) {
        (Some(settings), _) => {
            let values = tags.unwrap_or_default().iter().filter_map(|tag| tag.split_once(':')).map(|(_, value)| value);
            let words = settings.redact.iter().map(String::as_str);
            let redaction =
                if settings.redact_tags { Redaction::new(values.chain(words)) } else { Redaction::new(words) };
            (settings.attributes.values().cloned().collect(), redaction)
        }
        (None, Some(settings)) => (vec![settings.label_column.clone()], Redaction::default()),
        (None, None) => (Vec::new(), Redaction::default()),
    };
    CorpusOptions {
        products: ProductOptions {
            id_column: data.id_column.clone(),
            title_column: data.title_column.clone(),
            image_column: data.image_column.clone(),
            images: data.images.clone(),
            ..ProductOptions::default()
        },
        columns,
        redaction,
        cache_bytes: data.cache_mib << 20,
        max_bad_rows: data.max_bad_rows,
        limit: None,
    }
}

fn tokenizer(run: &Run, train: &Corpus, tags: Option<&[String]>) -> Result<Tokenizer, TrainError> {
    let settings = &run.tokenizer;
    Ok(match &settings.file {
        Some(path) => Tokenizer::from_file(path)?,
        None => {
            let texts = train.titles().iter().chain(tags.unwrap_or_default()).cloned();
            Tokenizer::train(texts, settings.vocab_size, settings.lowercase)?
        }
    })
}

fn distinct_labels(items: &[Item]) -> Vec<String> {
    let labels: BTreeSet<&String> = items.iter().flat_map(|item| &item.values).filter(|v| !v.is_empty()).collect();
    labels.into_iter().cloned().collect()
}

/// Rows of the products whose label is one of `labels`.
pub(crate) fn labelled(items: &[Item], labels: &[String]) -> Vec<Row> {
    let index: HashMap<&String, u32> = labels.iter().zip(0..).collect();
    let class = |item: &Item| item.values.first().and_then(|value| index.get(value)).copied();
    let rows = items.iter().enumerate().map(|(item, product)| Some(Row { item, tag: None, label: class(product)? }));
    rows.flatten().collect()
}
