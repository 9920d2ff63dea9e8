//! Rows to train on, by objective: from attribute columns, label columns, or files of labelled pairs.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use mbsd_data::{PairOptions, Pairs};
use mbsd_net::Head;
use rand::seq::SliceRandom;

use super::random;
use crate::TrainError;
use crate::checkpoint::read_lines;
use crate::data::{Attributes, Corpus, Item, Row};
use crate::run::{AlignmentHead, MatchSettings, Objective, Run};

/// Where training rows come from.
#[derive(Debug)]
pub(super) enum RowSource {
    /// Drawn anew each epoch, so many a product.
    Drawn(Attributes, usize),
    /// The same each epoch, or that many of them.
    Fixed(Vec<Row>, Option<usize>),
}

impl RowSource {
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
    let rows = |train, validation, head| Rows { train, validation, tags: None, head, labels: None };
    Ok(match (run.objective, &run.stage2, &run.matching, &run.classification, &run.alignment) {
        (Objective::Stage1, ..) => rows(RowSource::Fixed(whole(train), None), whole(validation), Head::Match),
        (Objective::Stage2, Some(stage), ..) => {
            let mut texts = Texts::default();
            let source =
                RowSource::Fixed(described(run, &stage.pairs, "query", train, &mut texts)?, stage.pairs_per_epoch);
            let validation = described(run, &stage.validation_pairs, "query", validation, &mut texts)?;
            Rows { tags: Some(texts.names), ..rows(source, validation, Head::Match) }
        }
        (Objective::Match, _, Some(MatchSettings { pairs: Some(pairs), validation_pairs: Some(others), .. }), ..) => {
            let mut texts = Texts::default();
            let source = RowSource::Fixed(described(run, pairs, "tag", train, &mut texts)?, None);
            let validation = described(run, others, "tag", validation, &mut texts)?;
            Rows { tags: Some(texts.names), ..rows(source, validation, Head::Match) }
        }
        (Objective::Match, _, Some(settings), ..) => {
            let tags = tags.unwrap_or_default();
            let attributes = |corpus: &Corpus| Attributes::new(&corpus.items, &settings.attributes, &tags);
            let drawn = attributes(validation).draw(1, &mut random(run.seed, u64::MAX));
            let source = RowSource::Drawn(attributes(train), settings.tags_per_product);
            Rows { tags: Some(tags), ..rows(source, drawn, Head::Match) }
        }
        (Objective::Classification, _, _, Some(settings), _) => {
            let labels = match (known_labels, &settings.labels) {
                (Some(labels), _) => labels,
                (None, Some(path)) => read_lines(path)?,
                (None, None) => distinct_labels(&train.items),
            };
            let head = Head::Classification { classes: labels.len() };
            let source = RowSource::Fixed(labelled(&train.items, &labels), None);
            Rows { labels: Some(labels.clone()), ..rows(source, labelled(&validation.items, &labels), head) }
        }
        (Objective::Alignment, .., Some(settings)) => {
            let source = RowSource::Fixed(compared(run, &settings.pairs, train)?, None);
            let head = match settings.head {
                AlignmentHead::Linear => Head::Alignment,
                AlignmentHead::Comparison => Head::Comparison,
            };
            rows(source, compared(run, &settings.validation_pairs, validation)?, head)
        }
        (objective, ..) => return Err(TrainError::run("objective", format!("the run has no table [{objective}]"))),
    })
}

/// Rows of the products whose label is one of `labels`.
pub(crate) fn labelled(items: &[Item], labels: &[String]) -> Vec<Row> {
    let index: HashMap<&String, u32> = labels.iter().zip(0..).collect();
    let class = |item: &Item| item.values.first().and_then(|value| index.get(value)).copied();
    let rows =
        items.iter().enumerate().map(|(item, product)| Some(Row { item, label: class(product)?, ..Row::default() }));
    rows.flatten().collect()
}

fn distinct_labels(items: &[Item]) -> Vec<String> {
    let labels: BTreeSet<&String> = items.iter().flat_map(|item| &item.values).filter(|v| !v.is_empty()).collect();
    labels.into_iter().cloned().collect()
}

/// Tags or queries met in files, each once.
#[derive(Debug, Default)]
struct Texts {
    names: Vec<String>,
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

/// Rows of a file with the columns `product`, `query` or `tag`, `label`.
fn described(run: &Run, path: &Path, column: &str, corpus: &Corpus, texts: &mut Texts) -> Result<Vec<Row>, TrainError> {
    let items = index(corpus);
    read(run, path, ["product", column], |product, text, label| {
        let item = found(&items, &product)?;
        Ok(Row { item, tag: Some(texts.of(text)), label, other: None })
    })
}

/// Rows of a file with the columns `source`, `target`, `label`.
fn compared(run: &Run, path: &Path, corpus: &Corpus) -> Result<Vec<Row>, TrainError> {
    let items = index(corpus);
    read(run, path, ["source", "target"], |source, target, label| {
        Ok(Row { item: found(&items, &source)?, other: Some(found(&items, &target)?), label, tag: None })
    })
}

fn index(corpus: &Corpus) -> HashMap<&str, usize> {
    corpus.items.iter().enumerate().map(|(index, item)| (item.id.as_str(), index)).collect()
}

fn found(items: &HashMap<&str, usize>, id: &str) -> Result<usize, String> {
    items.get(id).copied().ok_or_else(|| format!("there is no product `{id}`, or it cannot be used"))
}

/// Reads labelled pairs; those that cannot be used are counted, up to the share the run allows.
fn read(
    run: &Run,
    path: &Path,
    [first, second]: [&str; 2],
    mut row: impl FnMut(String, String, u32) -> Result<Row, String>,
) -> Result<Vec<Row>, TrainError> {
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
            Err(error) => Err(error.to_string()),
        };
        match made {
            Ok(row) => rows.push(row),
            Err(reason) => bad.push(reason),
        }
    }
    super::name_bad_rows(&path.display().to_string(), &bad);
    let all = rows.len() + bad.len();
    if bad.len() as f64 > run.data.max_bad_rows * all as f64 {
        let first = bad.first().cloned().unwrap_or_default();
        return Err(TrainError::BadRows { path: path.to_owned(), bad: bad.len(), rows: all, first });
    }
    Ok(rows)
}
