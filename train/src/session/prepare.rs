//! A run's data, read and tokenized: everything that is the same for all epochs.

use std::path::Path;
use std::sync::Arc;

use mbsd_data::{ProductOptions, read_tags};
use mbsd_net::Head;
use mbsd_spec::image::Preprocessor;
use mbsd_spec::text::Tokenizer;
use mbsd_spec::{Attention, Config};

use super::rows::{RowSource, Rows, rows};
use crate::TrainError;
use crate::checkpoint::read_parts;
use crate::data::{Assembler, Augmentation, Corpus, CorpusOptions, Extra, Masking, Redaction, Row, TagSet};
use crate::run::{MatchSettings, Objective, Run};

/// What a session works on.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) config: Config,
    pub(super) head: Head,
    pub(super) labels: Option<Vec<String>>,
    pub(super) train: Assembler,
    pub(super) validation: Assembler,
    pub(super) validation_rows: Vec<Row>,
    rows: RowSource,
}

impl Prepared {
    pub(super) fn train_rows(&self, run: &Run, epoch: u64) -> Vec<Row> {
        self.rows.epoch(run.seed, epoch)
    }
}

/// Reads everything. `resumed` is the checkpoint whose tokenizer and labels are to be used.
pub(super) fn prepare(run: &Run, resumed: Option<&Path>) -> Result<Prepared, TrainError> {
    let tags_file = run.matching.as_ref().and_then(|settings| settings.tags.as_ref());
    let tag_names = tags_file.map(read_tags).transpose()?;
    if let (Some(settings), Some(path), Some(names)) = (&run.matching, tags_file, &tag_names) {
        check_tags(settings, path, names)?;
    }
    // Pixels depend on the image size alone, which the vocabulary does not change.
    let preprocessor = Preprocessor::new(&run.model.config(1)?);
    let options = corpus_options(run, tag_names.as_deref());
    let mut train = Corpus::read(&run.data.train, &options, &preprocessor)?;
    let limited = CorpusOptions { limit: run.data.validation_products, ..options };
    let mut validation = Corpus::read(&run.data.validation, &limited, &preprocessor)?;
    for (name, corpus) in [("training", &train), ("validation", &validation)] {
        super::name_bad_rows(name, &corpus.bad_rows);
    }

    let parts = resumed.map(read_parts).transpose()?;
    let (known_tokenizer, known_labels) =
        parts.map_or((None, None), |(_, tokenizer, labels)| (Some(tokenizer), labels));
    let Rows { train: source, validation: validation_rows, tags, head, labels } =
        rows(run, [&train, &validation], tag_names, known_labels)?;
    let tokenizer = match known_tokenizer {
        Some(tokenizer) => tokenizer,
        None => tokenizer(run, &train, tags.as_deref())?,
    };
    train.tokenize(&tokenizer);
    validation.tokenize(&tokenizer);
    let config = run.model.config(tokenizer.vocab_size())?;
    let max_tokens = config.max_text_tokens();
    let max_tokens = run.data.max_text_tokens.map_or(max_tokens, |given| given.min(max_tokens));

    let extra = match run.objective {
        Objective::Stage1 => Extra::Masking(masking(run, &config, &tokenizer)),
        Objective::Stage2 if config.attention == Attention::Full => Extra::Queries,
        _ => Extra::Nothing,
    };
    let tokenizer = Arc::new(tokenizer);
    let tags = tags.map(|names| Arc::new(TagSet::new(names, &tokenizer)));
    let title_position = title_position(run.objective, &config);
    if let Some(title_position) = title_position.filter(|position| position + 2 > max_tokens) {
        let reason = format!("{max_tokens} leaves no room for titles, which begin at title_position {title_position}");
        return Err(TrainError::run("data.max_text_tokens", reason));
    }
    if let Some(tags) = &tags {
        check_lengths(tags, &tokenizer, title_position.unwrap_or(max_tokens.saturating_sub(1)))?;
    }
    let assembler = |corpus| Assembler {
        corpus: Arc::new(corpus),
        tags: tags.clone(),
        tokenizer: tokenizer.clone(),
        preprocessor: preprocessor.clone(),
        max_tokens,
        title_position,
        augmentation: Augmentation { flip: run.training.flip, min_area: run.training.crop },
        extra: extra.clone(),
    };
    let (train, validation) = (assembler(train), assembler(validation));
    let prepared = Prepared { config, head, labels, train, validation, validation_rows, rows: source };
    let no_rows = |path: &Path| {
        let reason = match run.objective {
            Objective::Stage2 | Objective::Alignment => "no pair has products of this file",
            _ => "no product has a value of the tags or labels to learn",
        };
        Err(TrainError::NoRows { path: path.to_owned(), reason: reason.to_owned() })
    };
    if prepared.train_rows(run, 0).is_empty() {
        return no_rows(&run.data.train);
    }
    if prepared.validation_rows.is_empty() {
        return no_rows(&run.data.validation);
    }
    Ok(prepared)
}

/// Where titles begin, if the objective has tags or queries that are read apart from products. Stage 1 has none, so that its weights
/// do for both forms of attention.
fn title_position(objective: Objective, config: &Config) -> Option<usize> {
    config.title_position(objective.task()).filter(|_| objective != Objective::Stage1)
}

/// Tags and queries are never truncated. `limit` is for `[CLS] tag [SEP]`.
fn check_lengths(tags: &TagSet, tokenizer: &Tokenizer, limit: usize) -> Result<(), TrainError> {
    for (name, ids) in tags.names.iter().zip(&tags.ids) {
        let row = tokenizer.tag_row(ids, limit);
        row.map_err(|error| TrainError::run("tags or queries", format!("`{name}`: {error}")))?;
    }
    Ok(())
}

fn masking(run: &Run, config: &Config, tokenizer: &Tokenizer) -> Masking {
    let settings = run.stage1.clone().unwrap_or_default();
    Masking {
        tokens: settings.tokens,
        patches: settings.patches,
        patch_masking: settings.patch_masking(run.recipe),
        mask_id: tokenizer.mask_id(),
        ordinary: Masking::ordinary(tokenizer),
        patches_per_image: config.patches(),
    }
}

/// Every tag must be of an attribute whose column is known.
fn check_tags(settings: &MatchSettings, path: &Path, tags: &[String]) -> Result<(), TrainError> {
    let attribute = |tag: &str| tag.split_once(':').map(|(name, _)| name.to_owned());
    match tags.iter().find(|tag| attribute(tag).is_none_or(|name| !settings.attributes.contains_key(&name))) {
        None => Ok(()),
        Some(tag) => {
            let reason = format!("`{tag}` has no column in match.attributes; tags are written Name:value");
            Err(TrainError::run(path.display().to_string(), reason))
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
    Ok(match (&settings.file, &run.model.checkpoint) {
        (Some(path), _) => Tokenizer::from_file(path)?,
        (None, Some(folder)) => read_parts(folder)?.1,
        (None, None) => {
            let texts = train.titles().iter().chain(tags.unwrap_or_default()).cloned();
            Tokenizer::train(texts, settings.vocab_size, settings.lowercase)?
        }
    })
}
