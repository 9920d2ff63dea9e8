//! What is known to be true of a product, so that no negative says it.

use std::collections::HashMap;

use super::catalogue::{Catalogue, ProductRow};
use super::log::{Behaviour, Log};
use super::segment::{Term, TermIndex};
use super::words::WordSet;

/// A product's behaviours, title and attributes.
pub(super) struct Known<'a> {
    behaviours: &'a [Behaviour],
    /// The words of each behaviour's query.
    queries: Vec<WordSet>,
    /// The queries with a word, as places in `queries`.
    with_word: HashMap<u64, Vec<u32>>,
    /// The words of the title and of all attributes.
    text: WordSet,
    /// The values of each attribute column; none where nothing is known.
    attributes: Vec<Vec<WordSet>>,
}

impl<'a> Known<'a> {
    pub(super) fn new(catalogue: &Catalogue, product: &ProductRow, behaviours: &'a [Behaviour], log: &Log) -> Self {
        let queries: Vec<WordSet> =
            behaviours.iter().map(|behaviour| WordSet::of(log.queries.text(behaviour.query))).collect();
        let mut with_word: HashMap<u64, Vec<u32>> = HashMap::new();
        for (place, query) in queries.iter().enumerate() {
            for word in query.iter() {
                with_word.entry(word).or_default().push(place as u32);
            }
        }
        let values = |column| catalogue.words(product, column).filter(|value| !value.is_empty());
        let columns = 0..catalogue.columns.len();
        let text = WordSet::of_all(columns.clone().flat_map(values).chain([&*product.title]));
        let attributes = columns.map(|column| values(column).map(WordSet::of).collect()).collect();
        Self { behaviours, queries, with_word, text, attributes }
    }

    /// Whether somebody clicked or bought the product under a query.
    pub(super) fn has_behaviour(&self, query: u32) -> bool {
        self.behaviours.binary_search_by_key(&query, |behaviour| behaviour.query).is_ok()
    }

    /// Whether every word is in one query that the product has a behaviour with, or in its title and attributes:
    /// shirts that were bought as black shirts are shirts.
    pub(super) fn implies(&self, words: &WordSet) -> bool {
        if words.is_within(&self.text) {
            return true;
        }
        let mut rarest: Option<&[u32]> = None;
        for word in words.iter() {
            let queries = self.with_word.get(&word).map_or(&[][..], Vec::as_slice);
            if rarest.is_none_or(|rarest| queries.len() < rarest.len()) {
                rarest = Some(queries);
            }
        }
        rarest.unwrap_or_default().iter().any(|&query| words.is_within(&self.queries[query as usize]))
    }

    /// Whether a term is in the title or the attributes, or one of the product's own values in the term's column, or
    /// more or less than one: navy blue is blue.
    pub(super) fn says(&self, term: &Term, column: Option<usize>) -> bool {
        let own = column.map_or(&[][..], |column| &self.attributes[column]);
        term.words.is_within(&self.text) || own.iter().any(|own| own.is_within(&term.words))
    }

    /// Whether a query speaks of an attribute of which nothing is known here, so that it may well be true.
    pub(super) fn may_be_true(&self, query: &str, terms: &TermIndex, columns: &[Option<usize>]) -> bool {
        let unknown = |column: Option<usize>| column.is_some_and(|column| self.attributes[column].is_empty());
        if !columns.iter().any(|&column| unknown(column)) {
            return false;
        }
        let mut found = terms.find(query).into_iter().flat_map(|place| place.terms);
        found.any(|&term| unknown(columns[usize::from(terms.terms[term as usize].ty)]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::testing::catalogue;
    use super::super::log::testing::log;
    use super::super::segment::testing::index;
    use super::*;

    fn with_known(csv: &str, columns: &[&str], queries: &[&str], check: impl FnOnce(&Known<'_>, &Log)) {
        let catalogue = catalogue(csv, columns);
        let rows: Vec<(&str, u32, u64)> = queries.iter().map(|&query| (query, 0, 1)).collect();
        let log = log(1, &rows);
        check(&Known::new(&catalogue, &catalogue.products[0], log.of_product(0), &log), &log);
    }

    #[test]
    fn parts_of_what_is_known_are_implied() {
        let csv = "id,category,title,colour\n1,x,Puma Men's Shirt,Navy Blue\n";
        with_known(csv, &["colour"], &["casual black shirts", "黑色 连衣裙"], |known, log| {
            for (query, expected) in [
                ("shirts", true),
                ("black shirt", true),
                ("连衣裙黑色", true),
                ("navy men shirts", true),
                ("puma casual", false),
                ("red shirts", false),
                ("红色连衣裙", false),
            ] {
                assert_eq!(known.implies(&WordSet::of(query)), expected, "{query}");
            }
            let number = |query| log.queries.get(query).unwrap();
            assert!(known.has_behaviour(number("黑色 连衣裙")));
        });
    }

    #[test]
    fn own_values_are_said_and_missing_ones_may_be_true() {
        let csv = "id,category,title,colour,gender\n1,x,Shirt in Teal,Blue,\n";
        with_known(csv, &["colour", "gender"], &[], |known, _| {
            let terms =
                index(&[("colour", &["blue", "navy blue", "red", "teal"]), ("gender", &["men"]), ("kind", &["shirt"])]);
            let columns = [Some(0), Some(1), None];
            let said = |text: &str| {
                let term = terms.terms.iter().find(|term| term.text == text).unwrap();
                known.says(term, columns[usize::from(term.ty)])
            };
            assert!(said("blue") && said("navy blue") && said("teal"));
            assert!(!said("red") && !said("men"));
            assert!(known.may_be_true("red men shirt", &terms, &columns), "its gender is not known");
            assert!(!known.may_be_true("red shirt", &terms, &columns));
        });
    }
}
