//! Pairs of products for alignment: products of one group are the same, others of their category are not.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use mbsd_data::{FieldOptions, Fields, texts};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::intern::Interner;
use super::rows::RowCount;
use super::{PairsError, write};

/// Draws of a negative before there is held to be none.
const DRAWS: usize = 64;

/// What [`make_duplicates`] makes and of what.
#[derive(Debug, Clone, PartialEq)]
pub struct DuplicateSettings {
    /// The products.
    pub products: PathBuf,
    /// Column of the product's id.
    pub id_column: String,
    /// The column whose equal values make a group: one product under several ids.
    pub group_column: String,
    /// The column in which a product and its negatives agree.
    pub category_column: String,
    /// Products of a group, at least two; larger groups are no duplicates but series, and are left out.
    pub largest_group: usize,
    /// Negatives of the same category for each positive.
    pub negatives: usize,
    /// Negatives of other categories for each positive.
    pub other_category: usize,
    /// Decides every random choice.
    pub seed: u64,
    /// Share of the rows that may be unusable.
    pub max_bad_rows: f64,
    /// Where to write the pairs, .jsonl.
    pub output: PathBuf,
}

/// What was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DuplicateSummary {
    /// Rows of the products' file.
    pub product_rows: u64,
    /// Those that cannot be used.
    pub bad_product_rows: u64,
    /// What is wrong with the first of them.
    pub bad_rows: Vec<String>,
    /// Groups of two products or more.
    pub groups: u64,
    /// Groups that are too large.
    pub too_large: u64,
    /// Pairs of one product.
    pub positives: u64,
    /// Pairs of different products.
    pub negatives: u64,
    /// Negatives that were wanted and not found.
    pub missing_negatives: u64,
}

impl std::fmt::Display for DuplicateSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.bad_rows.iter().try_for_each(|row| writeln!(f, "left out: {row}"))?;
        writeln!(f, "products: {} rows, {} bad", self.product_rows, self.bad_product_rows)?;
        writeln!(f, "groups: {}, too large {}", self.groups, self.too_large)?;
        write!(
            f,
            "pairs: {} positive, {} negative (not found {})",
            self.positives, self.negatives, self.missing_negatives
        )
    }
}

struct Item {
    id: String,
    group: u32,
    category: u32,
}

/// Makes pairs of the same product and of others, and writes them: columns `source`, `target`, `label`.
///
/// A positive is every pair of a group, in a random order of the two. Its negatives pair its first product with products
/// of the same category and another group, each pair once, which serve as often as the second products of positives do: a product that has
/// duplicates must not be known by being a target. The order of the file's rows does not matter.
///
/// # Errors
/// If the file cannot be read or has too many bad rows, no group has two products, or the output cannot be written.
pub fn make_duplicates(settings: &DuplicateSettings) -> Result<DuplicateSummary, PairsError> {
    check(settings)?;
    let mut summary = DuplicateSummary::default();
    let items = read(settings, &mut summary)?;
    let mut groups: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        groups.entry(item.group).or_default().push(index);
    }
    groups.retain(|_, members| members.len() > 1);
    summary.groups = groups.len() as u64;
    groups.retain(|_, members| members.len() <= settings.largest_group);
    summary.too_large = summary.groups - groups.len() as u64;

    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut positives: Vec<(usize, usize)> = Vec::new();
    for members in groups.values() {
        for (place, &one) in members.iter().enumerate() {
            for &other in &members[place + 1..] {
                positives.push(if random.random() { (one, other) } else { (other, one) });
            }
        }
    }
    if positives.is_empty() {
        let reason =
            format!("no value of `{}` belongs to 2 to {} products", settings.group_column, settings.largest_group);
        return Err(PairsError::nothing(&settings.products, reason));
    }
    positives.shuffle(&mut random);
    let mut targets: HashMap<u32, Vec<usize>> = HashMap::new();
    for &(_, target) in &positives {
        targets.entry(items[target].category).or_default().push(target);
    }
    let mut text = String::new();
    let mut line = |source: usize, target: usize, label: u8| {
        let [source, target] = [source, target].map(|index| serde_json::Value::from(items[index].id.as_str()));
        let _ = writeln!(text, r#"{{"source":{source},"target":{target},"label":{label}}}"#);
    };
    let all: Vec<usize> = positives.iter().map(|&(_, target)| target).collect();
    // A product that is in several positives has several draws.
    let mut negatives: HashSet<(usize, usize)> = HashSet::new();
    let pair = |one: usize, other: usize| (one.min(other), one.max(other));
    for &(source, target) in &positives {
        line(source, target, 1);
        let category = items[source].category;
        let same = targets.get(&category).map(Vec::as_slice).unwrap_or_default();
        let is_other = |other: usize| items[other].category != category;
        for (pool, wanted, fits) in [
            (same, settings.negatives, &(|_| true) as &dyn Fn(usize) -> bool),
            (&all, settings.other_category, &is_other),
        ] {
            for wanted in (1..=wanted).rev() {
                let mut draws = (0..DRAWS).filter_map(|_| pool.choose(&mut random).copied());
                let found = draws.find(|&other| {
                    fits(other)
                        && items[other].group != items[source].group
                        && !negatives.contains(&pair(source, other))
                });
                let Some(other) = found else {
                    summary.missing_negatives += wanted as u64;
                    break;
                };
                negatives.insert(pair(source, other));
                line(source, other, 0);
                summary.negatives += 1;
            }
        }
    }
    summary.positives = positives.len() as u64;
    write::write_text(&settings.output, &text)?;
    Ok(summary)
}

fn check(settings: &DuplicateSettings) -> Result<(), PairsError> {
    let wrong = |what: String| Err(PairsError::Setting(what));
    if settings.largest_group < 2 {
        return wrong(format!("--largest-group {}: it takes two products to be the same", settings.largest_group));
    }
    if !(0.0..=1.0).contains(&settings.max_bad_rows) {
        return wrong(format!("--max-bad-rows {}: it is not between 0 and 1", settings.max_bad_rows));
    }
    if !matches!(write::check_name(&settings.output), Ok(false)) {
        return wrong(format!("--output {}: pairs of products are written as .jsonl", settings.output.display()));
    }
    write::check_apart("--output", &settings.output, [settings.products.as_path()])
}

/// The products in the order of their ids, groups and categories numbered. One without a group is in none.
fn read(settings: &DuplicateSettings, summary: &mut DuplicateSummary) -> Result<Vec<Item>, PairsError> {
    let required = [&settings.id_column, &settings.group_column, &settings.category_column].map(String::clone);
    let options = FieldOptions { required: required.to_vec(), ..FieldOptions::default() };
    let (mut count, mut products) = (RowCount::default(), BTreeMap::new());
    for row in Fields::open(&settings.products, &options)? {
        count.rows += 1;
        let row = match row {
            Ok(row) => row,
            Err(bad) => {
                count.unreadable("products", bad, &settings.products)?;
                continue;
            }
        };
        let value = |place: usize| texts(&row.values[place]).into_iter().next().unwrap_or_default();
        let id = value(0);
        match products.entry(id) {
            Entry::Vacant(free) if !free.key().is_empty() => {
                free.insert((value(1), value(2)));
            }
            Entry::Vacant(_) => count.bad(format_args!("products row {}: missing_id: it is null or empty", row.row)),
            Entry::Occupied(used) => {
                let id = used.key();
                count.bad(format_args!("products row {}: duplicate_id: an earlier row has the id `{id}`", row.row));
            }
        }
    }
    count.check(&settings.products, settings.max_bad_rows)?;
    (summary.product_rows, summary.bad_product_rows) = (count.rows, count.bad);
    summary.bad_rows = count.named;
    let (mut groups, mut categories) = (Interner::default(), Interner::default());
    let grouped = products.into_iter().filter(|(_, (group, _))| !group.is_empty());
    Ok(grouped
        .map(|(id, (group, category))| Item {
            id,
            group: groups.intern(&group),
            category: categories.intern(&category),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settings(folder: &Path) -> DuplicateSettings {
        DuplicateSettings {
            products: folder.join("products.csv"),
            id_column: "id".to_owned(),
            group_column: "title".to_owned(),
            category_column: "type".to_owned(),
            largest_group: 3,
            negatives: 2,
            other_category: 0,
            seed: 1,
            max_bad_rows: 0.0,
            output: folder.join("pairs.jsonl"),
        }
    }

    fn pairs(path: &Path) -> Vec<(String, String, u64)> {
        let text = std::fs::read_to_string(path).unwrap();
        let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let field = |value: &serde_json::Value, name: &str| value[name].as_str().unwrap().to_owned();
        let pair = |value: serde_json::Value| {
            (field(&value, "source"), field(&value, "target"), value["label"].as_u64().unwrap())
        };
        text.lines().map(|line| pair(value(line))).collect()
    }

    #[test]
    fn products_of_a_group_are_the_same_and_others_of_the_category_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let rows = [
            "a1,red hat,hat",
            "a2,red hat,hat",
            "b1,blue hat,hat",
            "b2,blue hat,hat",
            "b3,blue hat,hat",
            "c1,wool coat,coat",
            "c2,wool coat,coat",
            "d,lone coat,coat",
            "e1,x,hat",
            "e2,x,hat",
            "e3,x,hat",
            "e4,x,hat",
            "f,,hat",
            "g,,hat",
        ];
        let write = |rows: &[&str]| {
            std::fs::write(folder.path().join("products.csv"), format!("id,title,type\n{}\n", rows.join("\n")))
                .unwrap();
        };
        write(&rows);
        let settings = settings(folder.path());
        let summary = make_duplicates(&settings).unwrap();
        assert_eq!((summary.groups, summary.too_large, summary.positives), (4, 1, 5), "{summary}");
        // The coats have no negative, for the lone one is the target of no positive, and the hats have five pairs of two kinds.
        assert_eq!((summary.negatives, summary.missing_negatives), (5, 5), "{summary}");
        let made = pairs(&settings.output);
        let group = |id: &str| id.chars().next().unwrap();
        for (source, target, label) in &made {
            assert_eq!(u64::from(group(source) == group(target)), *label, "{source} {target}");
            assert_ne!(source, target);
            let again = made.iter().filter(|(one, other, _)| [(one, other), (other, one)].contains(&(source, target)));
            assert_eq!(again.count(), 1, "{source} {target}");
            assert!("abc".contains(group(source)) && "abc".contains(group(target)), "{source} {target}");
        }
        let elsewhere = DuplicateSettings { negatives: 0, other_category: 2, ..settings.clone() };
        make_duplicates(&elsewhere).unwrap();
        let negatives = pairs(&elsewhere.output).into_iter().filter(|pair| pair.2 == 0).collect::<Vec<_>>();
        assert!(!negatives.is_empty());
        assert!(negatives.iter().all(|(source, target, _)| (group(source) == 'c') != (group(target) == 'c')));
        let reversed: Vec<&str> = rows.iter().rev().copied().collect();
        write(&reversed);
        make_duplicates(&settings).unwrap();
        assert_eq!(pairs(&settings.output), made, "the order of the rows does not matter");
    }

    #[test]
    fn what_cannot_be_made_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("products.csv"), "id,title,type\na,red hat,hat\nb,blue hat,hat\n").unwrap();
        let settings = settings(folder.path());
        let message = |settings: &DuplicateSettings| make_duplicates(settings).unwrap_err().to_string();
        let none = message(&settings);
        assert!(none.contains("no value of `title` belongs to 2 to 3 products"), "{none}");
        let parquet = DuplicateSettings { output: folder.path().join("pairs.parquet"), ..settings.clone() };
        assert!(message(&parquet).ends_with("pairs of products are written as .jsonl"));
        std::fs::write(folder.path().join("products.jsonl"), "{}").unwrap();
        let itself = folder.path().join("products.jsonl");
        let itself = DuplicateSettings { output: itself.clone(), products: itself, ..settings.clone() };
        assert!(message(&itself).contains("is an input file as well"), "{}", message(&itself));
        let column = DuplicateSettings { category_column: "kind".to_owned(), ..settings.clone() };
        assert!(message(&column).contains("kind"), "{}", message(&column));
        assert!(message(&DuplicateSettings { largest_group: 1, ..settings }).contains("two products"));
    }
}
