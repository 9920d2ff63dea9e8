//! What negatives are drawn from: queries and terms, as often as positives have them.
//!
//! Drawn uniformly instead, a rare query would mostly be met as a negative and a frequent one as a positive, and
//! frequency alone would tell the label.

use std::collections::BTreeMap;

use rand::{Rng, RngExt};

use super::catalogue::Catalogue;
use super::log::Log;
use super::segment::TermIndex;

/// Queries and terms of the positives.
#[derive(Debug, Default)]
pub(super) struct Pools {
    /// How many positives each query has.
    positives: Vec<u32>,
    /// The queries of each category's positives, sorted, as often as they occur.
    queries: Vec<Vec<u32>>,
    /// Terms of one type in the positives of one category.
    of_category: BTreeMap<(u32, u16), Weighted>,
    /// Terms of one type in all positives.
    of_all: Vec<Weighted>,
    /// All terms of one type, each once.
    of_dictionary: Vec<Weighted>,
}

/// Where a term may come from, the likeliest to be a hard negative first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Queries of the product's category.
    Category,
    /// All queries.
    Queries,
    /// The whole dictionary.
    Dictionary,
}

/// Numbers with weights.
#[derive(Debug, Default)]
struct Weighted {
    items: Vec<u32>,
    /// The sum of the weights up to each item.
    sums: Vec<u64>,
}

impl Weighted {
    fn of(counts: &BTreeMap<u32, u64>) -> Self {
        let mut sum = 0;
        let sums = counts.values().map(|count| {
            sum += count;
            sum
        });
        Self { sums: sums.collect(), items: counts.keys().copied().collect() }
    }

    fn draw(&self, random: &mut impl Rng) -> Option<u32> {
        let &total = self.sums.last()?;
        let at = random.random_range(0..total);
        self.items.get(self.sums.partition_point(|&sum| sum <= at)).copied()
    }
}

impl Pools {
    /// Collects them from the entries of a log that at least `min_buyers` bought.
    pub(super) fn new(catalogue: &Catalogue, log: &Log, terms: &TermIndex, min_buyers: u32) -> Self {
        let mut positives = vec![0; log.queries.len()];
        let mut queries = vec![Vec::new(); catalogue.categories];
        let mut of_category: BTreeMap<(u32, u16), BTreeMap<u32, u64>> = BTreeMap::new();
        let mut of_all = vec![BTreeMap::new(); terms.types.len()];
        for positive in log.iter().filter(|behaviour| behaviour.buyers >= min_buyers) {
            positives[positive.query as usize] += 1;
            let category = catalogue.products[positive.product as usize].category;
            if let Some(category) = category {
                queries[category as usize].push(positive.query);
            }
            for &term in terms.find(log.queries.text(positive.query)).into_iter().flat_map(|place| place.terms) {
                let ty = terms.terms[term as usize].ty;
                *of_all[usize::from(ty)].entry(term).or_default() += 1;
                if let Some(category) = category {
                    *of_category.entry((category, ty)).or_default().entry(term).or_default() += 1;
                }
            }
        }
        queries.iter_mut().for_each(|queries| queries.sort_unstable());
        let mut dictionary = vec![BTreeMap::new(); terms.types.len()];
        for (number, term) in terms.terms.iter().enumerate() {
            dictionary[usize::from(term.ty)].insert(number as u32, 1);
        }
        Self {
            positives,
            queries,
            of_category: of_category.iter().map(|(key, counts)| (*key, Weighted::of(counts))).collect(),
            of_all: of_all.iter().map(Weighted::of).collect(),
            of_dictionary: dictionary.iter().map(Weighted::of).collect(),
        }
    }

    /// The queries of a category's positives, sorted, as often as they occur.
    pub(super) fn queries(&self, category: u32) -> &[u32] {
        &self.queries[category as usize]
    }

    /// How many positives a query has.
    pub(super) fn positives(&self, query: u32) -> u64 {
        self.positives[query as usize].into()
    }

    /// A term of a type.
    pub(super) fn term(&self, reach: Reach, category: Option<u32>, ty: u16, random: &mut impl Rng) -> Option<u32> {
        match reach {
            Reach::Category => self.of_category.get(&(category?, ty))?.draw(random),
            Reach::Queries => self.of_all[usize::from(ty)].draw(random),
            Reach::Dictionary => self.of_dictionary[usize::from(ty)].draw(random),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::super::catalogue::testing::catalogue;
    use super::super::log::testing::log;
    use super::super::segment::testing::index;
    use super::*;

    #[test]
    fn what_is_frequent_among_positives_is_drawn_often() {
        let catalogue = catalogue("id,category,title\n1,shirts,a\n2,shirts,b\n3,shoes,c\n", &[]);
        let log = log(
            3,
            &[
                ("red shirts", 0, 3),
                ("red shirts", 1, 2),
                ("blue shirts", 1, 2),
                ("green shirts", 1, 1),
                ("pink shoes", 2, 2),
            ],
        );
        let terms = index(&[("colour", &["red", "blue", "green", "pink", "mauve"])]);
        let pools = Pools::new(&catalogue, &log, &terms, 2);
        let text = |query: &u32| log.queries.text(*query);
        assert_eq!(pools.queries(0).iter().map(text).collect::<Vec<_>>(), ["blue shirts", "red shirts", "red shirts"]);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut drawn = |reach, category| {
            let mut counts = BTreeMap::new();
            for _ in 0..600 {
                let term =
                    pools.term(reach, category, 0, &mut random).map(|term| terms.terms[term as usize].text.as_str());
                *counts.entry(term).or_insert(0) += 1;
            }
            counts
        };
        let category = drawn(Reach::Category, Some(0));
        assert_eq!(category.keys().flatten().copied().collect::<Vec<_>>(), ["blue", "red"]);
        assert!((340..460).contains(&category[&Some("red")]), "{category:?}");
        assert_eq!(drawn(Reach::Category, None)[&None], 600);
        assert_eq!(drawn(Reach::Queries, None).len(), 3);
        assert_eq!(drawn(Reach::Dictionary, None).len(), 5);
    }
}
