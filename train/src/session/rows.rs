//! Rows to train on, by objective: from attribute columns, label columns, or files of labelled pairs.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use mbsd_data::{PairOptions, Pairs, ProductPair, truth};
use mbsd_net::Head;
use rand::seq::SliceRandom;
use serde_json::Value;

use super::random;
use crate::TrainError;
use crate::checkpoint::read_lines;
use crate::data::{Attributes, Corpus, Item, Row};
use crate::run::{AlignmentHead, Objective, Run};

/// Where training rows come from.
#[derive(Debug)]
pub(super) enum RowSource {
    /// Drawn anew each epoch, so many a product.
    Drawn(Attributes, usize),
    /// The same each epoch, or that many of them.
    Fixed(Vec<Row>, Option<usize>),
}

impl RowSource {
    /// The rows, if they are not drawn.
    pub(super) fn fixed(&mut self) -> Option<&mut Vec<Row>> {
        match self {
            Self::Drawn(..) => None,
            Self::Fixed(rows, _) => Some(rows),
        }
    }

    /// Rows of an epoch, if they are as many in each.
    pub(super) fn constant(&self) -> Option<usize> {
        match self {
            Self::Drawn(..) => None,
            Self::Fixed(rows, count) => Some(count.map_or(rows.len(), |count| count.min(rows.len()))),
        }
    }

    pub(super) fn epoch(&self, seed: u64, epoch: u64) -> Vec<Row> {
        let mut random = random(seed.wrapping_add(1), epoch);
        match self {
            Self::Drawn(attributes, tags) => attributes.draw(*tags, &mut random),
            Self::Fixed(rows, None) => rows.clone(),
            Self::Fixed(rows, Some(count)) => {
                let mut rows = rows.clone();
                let (chosen, _) = rows.partial_shuffle(&mut random, *count);
                chosen.to_vec()
            }
        }
    }
}

/// The rows of a run, and what they refer to.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) train: RowSource,
    pub(super) validation: Vec<Row>,
    /// Tags or queries, by their index in the rows.
    pub(super) tags: Option<Vec<String>>,
    /// How many of those come first that a vocabulary may be made of: the others are of validation rows alone.
    pub(super) tags_to_learn: usize,
    pub(super) head: Head,
    /// Class names.
    pub(super) labels: Option<Vec<String>>,
}

/// Finds the rows of both corpora. `tags` are those of a run over attributes, `known_labels` those of a resumed run.
pub(super) fn rows(
    run: &Run,
    corpora: [&Corpus; 2],
    tags: Option<Vec<String>>,
    known_labels: Option<Vec<String>>,
) -> Result<Rows, TrainError> {
    let [train, validation] = corpora;
    let whole = |corpus: &Corpus| (0..corpus.items.len()).map(|item| Row { item, ..Row::default() }).collect();
    let rows = |train, validation, head| Rows { train, validation, tags: None, tags_to_learn: 0, head, labels: None };
    Ok(match (run.objective, &run.stage2, &run.matching, &run.classification, &run.alignment) {
        (Objective::Stage1, ..) => rows(RowSource::Fixed(whole(train), None), whole(validation), Head::Match),
        (Objective::Stage2, Some(stage), ..) => with_texts(run, "query", stage.pairs_per_epoch, corpora)?,
        (Objective::Match, _, Some(settings), ..) if settings.tags.is_none() => with_texts(run, "tag", None, corpora)?,
        (Objective::Match, _, Some(settings), ..) => {
            let tags = tags.unwrap_or_default();
            let attributes = |corpus: &Corpus| Attributes::new(&corpus.items, &settings.attributes, &tags);
            let train = attributes(train);
            let absent = train.absent(&tags);
            if !absent.is_empty() {
                eprintln!("match.tags: no training product has {}", absent.join(", "));
            }
            let drawn = attributes(validation).draw(1, &mut random(run.seed, u64::MAX));
            let source = RowSource::Drawn(train, settings.tags_per_product);
            Rows { tags_to_learn: tags.len(), tags: Some(tags), ..rows(source, drawn, Head::Match) }
        }
        (Objective::Classification, _, _, Some(settings), _) => {
            let labels = match (known_labels, &settings.labels) {
                (Some(labels), _) => labels,
                (None, Some(path)) => distinct(path, read_lines(path)?)?,
                (None, None) => distinct_labels(&train.items),
            };
            let head = Head::Classification { classes: labels.len() };
            let of = |path: &Path, corpus: &Corpus| -> Result<Vec<Row>, TrainError> {
                let (rows, bad) = labelled(&corpus.items, &labels);
                check_bad(run, path, rows.len(), &bad)?;
                Ok(rows)
            };
            let source = RowSource::Fixed(of(&run.data.train, train)?, None);
            Rows { labels: Some(labels.clone()), ..rows(source, of(&run.data.validation, validation)?, head) }
        }
        (Objective::Alignment, .., Some(settings)) => {
            let of = |pairs: Option<&PathBuf>, products: &PathBuf, corpus: &Corpus| -> Result<Vec<Row>, TrainError> {
                let (rows, bad) = pairs.map_or_else(|| Ok(side_by_side(corpus)), |path| compared(path, corpus))?;
                check_bad(run, pairs.unwrap_or(products), rows.len(), &bad)?;
                Ok(rows)
            };
            let source = RowSource::Fixed(of(settings.pairs.as_ref(), &run.data.train, train)?, None);
            let validation = of(settings.validation_pairs.as_ref(), &run.data.validation, validation)?;
            let head = match settings.head {
                AlignmentHead::Linear => Head::Alignment,
                AlignmentHead::Comparison => Head::Comparison,
            };
            rows(source, validation, head)
        }
        (objective, ..) => return Err(TrainError::run("objective", format!("the run has no table [{objective}]"))),
    })
}

/// Rows of the products whose label is one of `labels`. Products without a label are left out.
pub(crate) fn labelled(items: &[Item], labels: &[String]) -> Usable {
    let index: HashMap<&String, u32> = labels.iter().zip(0..).collect();
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for (item, product) in items.iter().enumerate() {
        let Some(label) = product.values.first().filter(|label| !label.is_empty()) else { continue };
        match index.get(label) {
            Some(&label) => rows.push(Row { item, label, ..Row::default() }),
            None => bad.push(format!("product {}: `{label}` is none of the classes", product.id)),
        }
    }
    (rows, bad)
}

/// Classes of a file, each of which must be there once.
fn distinct(path: &Path, labels: Vec<String>) -> Result<Vec<String>, TrainError> {
    let mut seen = BTreeSet::new();
    match labels.iter().find(|&label| !seen.insert(label)) {
        None => Ok(labels),
        Some(label) => {
            let reason = format!("{} has the class `{label}` twice", path.display());
            Err(TrainError::run("classification.labels", reason))
        }
    }
}

fn distinct_labels(items: &[Item]) -> Vec<String> {
    let labels: BTreeSet<&String> = items.iter().flat_map(|item| &item.values).filter(|v| !v.is_empty()).collect();
    labels.into_iter().cloned().collect()
}

/// Tags or queries met in files, each once.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// The texts, by their index.
    pub(crate) names: Vec<String>,
    index: HashMap<String, u32>,
}

impl Texts {
    fn of(&mut self, name: String) -> u32 {
        *self.index.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            self.names.len() as u32 - 1
        })
    }
}

/// Training and validation rows with a tag or query each: of files of pairs, whose column `column` has it, or of the products' own files.
fn with_texts(run: &Run, column: &str, per_epoch: Option<usize>, corpora: [&Corpus; 2]) -> Result<Rows, TrainError> {
    let mut texts = Texts::default();
    let (pairs, files) = (pairs_of_texts(run), files_of_texts(run));
    let of = |side: usize, texts: &mut Texts| {
        let (rows, bad) = match pairs[side] {
            Some(path) => described(path, column, corpora[side], texts)?,
            None => tagged(corpora[side], texts),
        };
        check_bad(run, files[side], rows.len(), &bad)?;
        Ok::<_, TrainError>(rows)
    };
    let train = of(0, &mut texts)?;
    let tags_to_learn = texts.names.len();
    let validation = of(1, &mut texts)?;
    Ok(Rows {
        train: RowSource::Fixed(train, per_epoch),
        validation,
        tags: Some(texts.names),
        tags_to_learn,
        head: Head::Match,
        labels: None,
    })
}

/// Rows that can be used, and what is wrong with the others.
type Usable = (Vec<Row>, Vec<String>);

/// Rows of a file with the columns `product`, `query` or `tag`, `label`.
fn described(path: &Path, column: &str, corpus: &Corpus, texts: &mut Texts) -> Result<Usable, TrainError> {
    let items = index(corpus);
    read(path, ["product", column], |product, text, label| {
        let Some(item) = found(corpus, &items, &product)? else { return Ok(None) };
        Ok(Some(Row { item, tag: Some(texts.of(text)), label, other: None }))
    })
}

/// Rows of products whose values are a tag or query, and a label.
pub(crate) fn tagged(corpus: &Corpus, texts: &mut Texts) -> Usable {
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for (item, product) in corpus.items.iter().enumerate() {
        match product.values.as_slice() {
            [text, _] if text.trim().is_empty() => {
                bad.push(format!("product {}: its tag or query is empty", product.id))
            }
            [text, label] => match yes_or_no(label) {
                Some(label) => rows.push(Row { item, tag: Some(texts.of(text.clone())), label, other: None }),
                None => bad.push(format!("product {}: the label `{label}` is none of 0, 1, false, true", product.id)),
            },
            _ => {}
        }
    }
    (rows, bad)
}

/// Rows of products that lie side by side, as [`Corpus::read_pairs`] has them.
pub(crate) fn side_by_side(corpus: &Corpus) -> Usable {
    let items = index(corpus);
    let row = |(item, product): (usize, &Item)| {
        let number = product.id.strip_prefix(ProductPair::SOURCE)?;
        // The other product of a row may be unusable, and is then among the corpus's bad rows, as pairs without a label are.
        let other = items.get(format!("{}{number}", ProductPair::TARGET).as_str()).copied();
        Some(Row { item, other: Some(other?), label: yes_or_no(product.values.first()?)?, tag: None })
    };
    (corpus.items.iter().enumerate().filter_map(row).collect(), Vec::new())
}

fn yes_or_no(label: &str) -> Option<u32> {
    truth(&Value::String(label.to_owned())).map(u32::from)
}

/// Rows of a file with the columns `source`, `target`, `label`, and what is wrong with those that cannot be used.
pub(crate) fn compared(path: &Path, corpus: &Corpus) -> Result<Usable, TrainError> {
    let items = index(corpus);
    read(path, ["source", "target"], |source, target, label| {
        let (source, target) = (found(corpus, &items, &source)?, found(corpus, &items, &target)?);
        let row = |(item, other)| Row { item, other: Some(other), label, tag: None };
        Ok(source.zip(target).map(row))
    })
}

fn index(corpus: &Corpus) -> HashMap<&str, usize> {
    corpus.items.iter().enumerate().map(|(index, item)| (item.id.as_str(), index)).collect()
}

/// A product; `None` if it may be one of those that `data.validation_products` leaves out.
fn found(corpus: &Corpus, items: &HashMap<&str, usize>, id: &str) -> Result<Option<usize>, String> {
    match items.get(id) {
        None if !corpus.is_cut => Err(format!("there is no product `{id}`, or it cannot be used")),
        found => Ok(found.copied()),
    }
}

/// Reads labelled pairs. Those of products left out are left out; of those that cannot be used it says why.
fn read(
    path: &Path,
    [first, second]: [&str; 2],
    mut row: impl FnMut(String, String, u32) -> Result<Option<Row>, String>,
) -> Result<Usable, TrainError> {
    let options = PairOptions {
        source_column: first.to_owned(),
        target_column: second.to_owned(),
        label_column: Some("label".to_owned()),
    };
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for pair in Pairs::open(path, &options)? {
        let made = match pair {
            Ok(pair) => {
                let label = u32::from(pair.label.unwrap_or_default());
                row(pair.source, pair.target, label).map_err(|reason| format!("row {}: {reason}", pair.row))
            }
            Err(unusable) => Err(unusable.or_input_lost(path)?.to_string()),
        };
        match made {
            Ok(row) => rows.extend(row),
            Err(reason) => bad.push(reason),
        }
    }
    Ok((rows, bad))
}

/// The files of pairs of training and of validation, in runs that have a tag or query a row and such files.
fn pairs_of_texts(run: &Run) -> [Option<&PathBuf>; 2] {
    let stage2 = run.stage2.as_ref().map(|task| [&task.pairs, &task.validation_pairs]);
    let pairs = stage2.or_else(|| run.matching.as_ref().map(|task| [&task.pairs, &task.validation_pairs]));
    pairs.map_or([None, None], |pairs| pairs.map(Option::as_ref))
}

/// The files that training and validation rows with a tag or query each come from.
pub(super) fn files_of_texts(run: &Run) -> [&Path; 2] {
    let [train, validation] = pairs_of_texts(run);
    [train.unwrap_or(&run.data.train), validation.unwrap_or(&run.data.validation)]
}

/// Names rows that cannot be used, of which there may be so many as the run allows beside `good` ones.
pub(super) fn check_bad(run: &Run, path: &Path, good: usize, bad: &[String]) -> Result<(), TrainError> {
    super::name_bad_rows(&path.display().to_string(), bad);
    let rows = good + bad.len();
    if bad.len() as f64 > run.data.max_bad_rows * rows as f64 {
        let first = bad.first().cloned().unwrap_or_default();
        return Err(TrainError::BadRows { path: path.to_owned(), bad: bad.len(), rows, first });
    }
    Ok(())
}
