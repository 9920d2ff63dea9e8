//! Pairs of queries and products for stage 2 (paper, section 3.5): positives from purchases, hard negatives from
//! queries of the same category and from queries with one term exchanged. And pairs of products for alignment.
//!
//! Data flows one way: [`PairSettings`] -> log and catalogue (strings as numbers, in an order of their own) -> pools of
//! queries and terms -> pairs, product by product on all cores -> a file. Nothing depends on the order of the input's
//! rows or on threads.

mod catalogue;
mod duplicates;
mod error;
mod intern;
mod known;
mod log;
mod negatives;
mod pools;
mod rows;
mod segment;
mod settings;
mod summary;
mod template;
mod terms;
mod wording;
mod words;
mod write;

use std::collections::BTreeSet;
use std::time::Instant;

use rayon::prelude::*;

use catalogue::{Attributes, Catalogue};
use log::{Log, RawLog};
use negatives::{Maker, Rules};
use pools::Pools;
use rows::Meter;
use segment::TermIndex;
use write::PairWriter;

pub use catalogue::{ProductsInput, USUAL_TITLE};
pub use duplicates::{DuplicateSettings, DuplicateSummary, make_duplicates};
pub use error::PairsError;
pub use log::{LogInput, USUAL_CLICKS};
pub use negatives::Source;
pub(crate) use rows::RowCount;
pub use settings::{LogSource, PairSettings};
pub use summary::Summary;
pub use template::Template;
pub use terms::{TermSources, Terms};
pub use wording::Wording;
pub use words::normalized;
pub(crate) use words::{is_ideograph, joined};
pub(crate) use write::check_apart;

/// Products whose pairs are made before they are written.
const CHUNK: usize = 2048;

/// Makes pairs and writes them, by product in the order of ids, each positive followed by its negatives.
///
/// # Errors
/// If the settings do not fit together, a file cannot be read or has too many bad rows, there is nothing to make
/// pairs of, or the output cannot be written. An output of that name is then left as it was.
pub fn make_pairs(settings: &PairSettings) -> Result<Summary, PairsError> {
    settings.check()?;
    let start = Instant::now();
    let mut summary = Summary::default();
    let mut terms = terms_of_files(settings, &mut summary)?;
    let (catalogue, log) = read(settings, &mut terms, &mut summary)?;
    terms.keep(&settings.terms.types)?;
    if let Some(path) = &settings.terms.save {
        write::write_text(path, &terms.to_json())?;
    }
    summary.terms = terms.counts();
    let index = TermIndex::new(&terms);
    let place = |ty: &String| catalogue.columns.iter().position(|column| column == ty);
    let maker = Maker {
        columns: index.types.iter().map(place).collect(),
        pools: Pools::new(&catalogue, &log, &index, settings.min_buyers),
        rules: Rules {
            min_buyers: settings.min_buyers,
            same_category: settings.same_category,
            rewrite: settings.rewrite,
            seed: settings.seed,
        },
        catalogue: &catalogue,
        log: &log,
        terms: &index,
    };
    write_pairs(settings, &maker, &mut summary)?;
    summary.seconds = start.elapsed().as_secs_f64();
    Ok(summary)
}

/// The terms of dictionaries and annotated titles.
fn terms_of_files(settings: &PairSettings, summary: &mut Summary) -> Result<Terms, PairsError> {
    let mut terms = Terms::default();
    for path in &settings.terms.files {
        terms.merge(&Terms::read(path)?);
    }
    for path in &settings.terms.titles {
        let mut count = RowCount::default();
        terms.add_titles(path, settings.terms.min_count, &mut count)?;
        count.check(path, settings.max_bad_rows)?;
        summary.bad_rows.append(&mut count.named);
    }
    Ok(terms)
}

/// The products and what people did with them; adds the terms of attribute columns.
fn read(settings: &PairSettings, terms: &mut Terms, summary: &mut Summary) -> Result<(Catalogue, Log), PairsError> {
    let wording = settings.words.as_deref().map(Wording::read).transpose()?.unwrap_or_default();
    let columns = settings.columns();
    let types: Vec<String> = terms.counts().into_keys().filter(|ty| !columns.contains(ty)).collect();
    if let Some(unused) = wording.columns().find(|name| !columns.iter().chain(&types).any(|column| column == name)) {
        return Err(PairsError::Setting(format!(
            "--words: the column `{unused}` is in no --query and not in --terms-from-columns"
        )));
    }
    let raw = match &settings.log {
        LogSource::File(input) => {
            let mut count = RowCount::default();
            let raw = RawLog::read(input, &mut count)?;
            count.check(&input.path, settings.max_bad_rows)?;
            (summary.log_rows, summary.bad_log_rows) = (count.rows, count.bad);
            summary.bad_rows.append(&mut count.named);
            summary.impressions = raw.impressions;
            Some(raw)
        }
        LogSource::Attributes(_) => None,
    };
    let attributes = Attributes {
        columns: &columns,
        optional: &types,
        needs_category: settings.same_category > 0.0,
        wording: &wording,
    };
    let mut found: BTreeSet<(String, String)> = BTreeSet::new();
    let mut count = RowCount::default();
    let wanted = raw.as_ref().map(|raw| &raw.products);
    let catalogue = Catalogue::read(&settings.products, &attributes, wanted, &mut count, |column, word| {
        if settings.terms.columns.iter().any(|name| name == column) && !word.is_empty() {
            found.insert((column.to_owned(), word.to_owned()));
        }
    })?;
    count.check(&settings.products.path, settings.max_bad_rows)?;
    (summary.product_rows, summary.bad_product_rows) = (count.rows, count.bad);
    summary.bad_rows.append(&mut count.named);
    for (column, word) in found {
        terms.add(&column, &[word]);
    }
    let log = match (&settings.log, raw) {
        (LogSource::Attributes(templates), _) => template::log_from_attributes(&catalogue, templates),
        (LogSource::File(input), raw) => {
            let raw = raw.unwrap_or_default();
            let ids: Vec<Option<u32>> = raw.products.iter().map(|id| catalogue.find(id)).collect();
            let first = raw.products.iter().next().unwrap_or_default().to_owned();
            let (log, unknown) = raw.sorted(catalogue.products.len(), |product| ids[product as usize]);
            summary.unknown_products = unknown;
            if log.len() == 0 && unknown > 0 {
                let products = settings.products.path.display();
                let reason = format!("none of its products, such as `{first}`, is an id of {products}");
                return Err(PairsError::nothing(&input.path, reason));
            }
            log
        }
    };
    (summary.queries, summary.behaviours) = (log.queries.len() as u64, log.len() as u64);
    Ok((catalogue, log))
}

fn write_pairs(settings: &PairSettings, maker: &Maker<'_>, summary: &mut Summary) -> Result<(), PairsError> {
    let products = &maker.catalogue.products;
    let mut writer = PairWriter::create(&settings.output)?;
    let mut meter = Meter::new("pairs of products", Some(products.len() as u64));
    for start in (0..products.len()).step_by(CHUNK) {
        let end = products.len().min(start + CHUNK);
        let made: Vec<_> = (start..end).into_par_iter().map(|place| maker.product(place)).collect();
        for (product, made) in products[start..end].iter().zip(made) {
            summary.products += u64::from(!made.pairs.is_empty());
            summary.positives_without_negative += made.without_negative;
            summary.missing_negatives += made.missing;
            summary.positives_with_term += made.with_term;
            for pair in made.pairs {
                match pair.source {
                    Source::Purchase => summary.positives += 1,
                    Source::SameCategory => summary.same_category += 1,
                    Source::Rewrite => summary.rewrite += 1,
                }
                writer.write(&product.id, &pair.query, pair.source)?;
            }
        }
        meter.step((end - start) as u64);
    }
    if summary.positives == 0 {
        let least = settings.min_buyers;
        return match &settings.log {
            LogSource::File(input) => Err(PairsError::nothing(
                &input.path,
                format!("no product was bought with a query by {least} people or more; lower --min-buyers"),
            )),
            LogSource::Attributes(_) => Err(PairsError::nothing(
                &settings.products.path,
                format!("no --query describes {least} products or more; name other columns, or lower --min-buyers"),
            )),
        };
    }
    writer.finish()
}
