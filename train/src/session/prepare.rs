//! A run's data, read and tokenized: everything that is the same for all epochs.

use std::path::Path;
use std::sync::Arc;

use mbsd_data::{DuplicateIds, ProductOptions, read_tags};
use mbsd_net::Head;
use mbsd_spec::image::Preprocessor;
use mbsd_spec::text::Tokenizer;
use mbsd_spec::{Attention, Config};

use super::rows::{RowSource, Rows, check_bad, files_of_texts, rows};
use crate::TrainError;
use crate::checkpoint::read_parts;
use crate::data::{Assembler, Augmentation, Corpus, CorpusOptions, Extra, Form, Masking, Redaction, Row, TagSet};
use crate::run::{MatchSettings, Objective, Run};

/// What a session works on.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) config: Config,
    /// Dimensions of the run's teacher.
    pub(super) teacher: Option<Config>,
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

    /// Rows of an epoch, if they are as many in each.
    pub(super) fn constant_rows(&self) -> Option<usize> {
        self.rows.constant()
    }
}

/// Reads everything. `resumed` is the checkpoint whose tokenizer and labels are to be used.
pub(super) fn prepare(run: &Run, resumed: Option<&Path>) -> Result<Prepared, TrainError> {
    let tags_file = run.matching.as_ref().and_then(|settings| settings.tags.as_ref());
    let tag_names = tags_file.map(read_tags).transpose()?;
    if let (Some(settings), Some(path), Some(names)) = (&run.matching, tags_file, &tag_names) {
        check_tags(settings, path, names)?;
    }
    let parts = resumed.map(read_parts).transpose()?;
    let (known, known_tokenizer, known_labels) =
        parts.map_or((None, None, None), |(config, tokenizer, labels)| (Some(config), Some(tokenizer), labels));
    // Pixels depend on the image size alone, which the vocabulary does not change.
    let preprocessor = Preprocessor::new(&known.clone().map_or_else(|| run.config(1), Ok)?);
    let options = corpus_options(run, tag_names.as_deref());
    let sides = run.alignment.as_ref().and_then(|task| task.rows(&run.data));
    let read = |path: &Path, options: &CorpusOptions| match &sides {
        Some(sides) => Corpus::read_pairs(path, sides, options, &preprocessor),
        None => Corpus::read(path, options, &preprocessor),
    };
    let mut train = read(&run.data.train, &options)?;
    let cache_bytes = options.cache_bytes - train.cached_bytes;
    let limited = CorpusOptions { limit: run.data.validation_products, cache_bytes, ..options };
    let mut validation = read(&run.data.validation, &limited)?;
    for (name, corpus) in [("training", &train), ("validation", &validation)] {
        super::name_bad_rows(name, &corpus.bad_rows);
        eprintln!("{name}: {}", corpus.summary());
    }

    let teacher = run.teacher.as_ref().map(|teacher| read_parts(&teacher.checkpoint)).transpose()?;
    let tags_are_listed = tag_names.is_some();
    let Rows { train: mut source, validation: mut validation_rows, tags, tags_to_learn, head, labels } =
        rows(run, [&train, &validation], tag_names, known_labels)?;
    let tokenizer = match known_tokenizer {
        Some(tokenizer) => tokenizer,
        None => tokenizer(
            run,
            &train,
            tags.as_deref().map(|tags| &tags[..tags_to_learn]),
            teacher.as_ref().map(|(_, tokenizer, _)| tokenizer),
        )?,
    };
    train.tokenize(&tokenizer);
    validation.tokenize(&tokenizer);
    let config = known.map_or_else(|| run.config(tokenizer.vocab_size()), Ok)?;
    let form = form(run, &config);
    if let Some(teacher) = &teacher {
        check_teacher(teacher, &tokenizer, labels.as_deref())?;
    }
    let teacher = teacher.map(|(config, ..)| config);
    // All that it reads of a product, however little of it the run takes.
    let teachers = teacher.as_ref().map(|config| Form::of(config, run.objective.task()));

    let extra = match run.objective {
        Objective::Stage1 => Extra::Masking(masking(run, &config, &tokenizer)),
        Objective::Stage2 if config.attention == Attention::Full => Extra::Queries,
        _ => Extra::Nothing,
    };
    let tokenizer = Arc::new(tokenizer);
    let tags = tags.map(|names| Arc::new(TagSet::new(names, &tokenizer)));
    if let Some(tags) = tags.as_ref().filter(|_| tags_are_listed) {
        let forms = [Some(form), teachers].into_iter().flatten();
        check_lengths(tags, &tokenizer, forms.map(Form::tag_limit).min().unwrap_or_default())?;
    }
    let assembler = |corpus, teacher| Assembler {
        corpus: Arc::new(corpus),
        tags: tags.clone(),
        tokenizer: tokenizer.clone(),
        preprocessor: preprocessor.clone(),
        form,
        teacher,
        augmentation: Augmentation { flip: run.training.flip, min_area: run.training.crop },
        extra: extra.clone(),
    };
    let (train, validation) = (assembler(train, teachers), assembler(validation, None));
    let [train_file, validation_file] = files_of_texts(run);
    for (assembler, rows, file) in
        [(&train, source.fixed(), train_file), (&validation, Some(&mut validation_rows), validation_file)]
    {
        let Some(rows) = rows else { continue };
        let too_long = assembler.take_too_long(rows);
        check_bad(run, file, rows.len(), &too_long)?;
    }
    let prepared = Prepared { config, teacher, head, labels, train, validation, validation_rows, rows: source };
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

/// How the run's model reads rows. Stage 1 has no tags or queries to be read apart from products, so that its weights do for both
/// forms of attention.
fn form(run: &Run, config: &Config) -> Form {
    let form = Form::of(config, run.objective.task());
    Form { title_position: form.title_position.filter(|_| run.objective != Objective::Stage1), ..form }
}

/// A teacher knows the same tokens, and answers the same questions.
fn check_teacher(
    (_, known, classes): &(Config, Tokenizer, Option<Vec<String>>),
    tokenizer: &Tokenizer,
    labels: Option<&[String]>,
) -> Result<(), TrainError> {
    let reason = if known.to_json() != tokenizer.to_json() {
        "it has another tokenizer: give its tokenizer.json as tokenizer.file"
    } else if classes.as_deref() != labels {
        "it has other classes: give its labels.txt as classification.labels"
    } else {
        return Ok(());
    };
    Err(TrainError::run("teacher.checkpoint", reason))
}

/// Listed tags must all fit. `limit` is for `[CLS] tag [SEP]`.
fn check_lengths(tags: &TagSet, tokenizer: &Tokenizer, limit: usize) -> Result<(), TrainError> {
    for (name, ids) in tags.names.iter().zip(&tags.ids) {
        let row = tokenizer.tag_row(ids, limit);
        row.map_err(|error| TrainError::run("match.tags", format!("`{name}`: {error}")))?;
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
    let own = run.stage2.as_ref().and_then(|stage| stage.own_columns());
    let own = own.or_else(|| run.matching.as_ref().and_then(|task| task.own_columns()));
    let (columns, redaction) = match (&run.matching, &run.classification) {
        (Some(settings), _) => {
            let values = tags.unwrap_or_default().iter().filter_map(|tag| tag.split_once(':')).map(|(_, value)| value);
            let words = settings.redact.iter().map(String::as_str);
            let redaction =
                if settings.redact_tags { Redaction::new(values.chain(words)) } else { Redaction::new(words) };
            (settings.attributes.values().cloned().chain(own.iter().flatten().cloned()).collect(), redaction)
        }
        (None, Some(settings)) => (vec![settings.label_column.clone()], Redaction::default()),
        (None, None) => (own.iter().flatten().cloned().collect(), Redaction::default()),
    };
    CorpusOptions {
        products: ProductOptions {
            // A product has a row for each of its tags.
            duplicate_ids: if own.is_some() { DuplicateIds::Allow } else { DuplicateIds::Refuse },
            ..data.products()
        },
        columns,
        redaction,
        cache_bytes: data.cache_mib << 20,
        spill_folder: run.output.clone(),
        max_bad_rows: data.max_bad_rows,
        limit: None,
    }
}

fn tokenizer(
    run: &Run,
    train: &Corpus,
    tags: Option<&[String]>,
    teachers: Option<&Tokenizer>,
) -> Result<Tokenizer, TrainError> {
    let settings = &run.tokenizer;
    Ok(match (&settings.file, &run.model.checkpoint, teachers) {
        (Some(path), checkpoint, _) => {
            let tokenizer = Tokenizer::from_file(path)?;
            let known = checkpoint.as_ref().map(|folder| read_parts(folder)).transpose()?;
            if known.is_some_and(|(_, known, _)| known.to_json() != tokenizer.to_json()) {
                let reason = format!("{} is not the tokenizer of model.checkpoint: leave it out", path.display());
                return Err(TrainError::run("tokenizer.file", reason));
            }
            tokenizer
        }
        (None, Some(folder), _) => read_parts(folder)?.1,
        (None, None, Some(tokenizer)) => tokenizer.clone(),
        (None, None, None) => {
            let texts = train.titles().iter().chain(tags.unwrap_or_default()).cloned();
            Tokenizer::train(texts, settings.vocab_size, settings.lowercase)?
        }
    })
}
