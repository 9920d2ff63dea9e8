//! Where the terms of a dictionary stand in a query.

use std::collections::HashMap;
use std::ops::Range;

use super::terms::Terms;
use super::words::{WordSet, joined};

/// A dictionary made ready for looking terms up.
#[derive(Debug, Default)]
pub(super) struct TermIndex {
    pub(super) types: Vec<String>,
    pub(super) terms: Vec<Term>,
    by_text: HashMap<String, Vec<u32>>,
    /// From a first character to the bytes of the longest term that starts with it.
    longest: HashMap<char, usize>,
    /// The terms of each meaning.
    meanings: HashMap<(u16, String), Vec<u32>>,
}

/// A term of one type.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) text: String,
    /// Place of its type in [`TermIndex::types`].
    pub(super) ty: u16,
    pub(super) words: WordSet,
    meaning: String,
}

/// A term in a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// Bytes of the query.
    pub(super) at: Range<usize>,
    /// The term, once for each type that has it.
    pub(super) terms: &'a [u32],
}

impl TermIndex {
    pub(super) fn new(terms: &Terms) -> Self {
        let mut index = Self::default();
        for (ty, texts) in terms.iter() {
            let place = index.types.len() as u16;
            index.types.push(ty.to_owned());
            for (text, meaning) in texts {
                let number = index.terms.len() as u32;
                if let Some(first) = text.chars().next() {
                    let longest = index.longest.entry(first).or_default();
                    *longest = text.len().max(*longest);
                }
                index.by_text.entry(text.clone()).or_default().push(number);
                index.meanings.entry((place, meaning.clone())).or_default().push(number);
                let words = WordSet::of(text);
                index.terms.push(Term { text: text.clone(), ty: place, words, meaning: meaning.clone() });
            }
        }
        index
    }

    /// The terms in a query in its usual form, from left to right: at each place the longest term that starts
    /// there. Words of letters and digits are taken whole or not at all; Chinese has no blanks to go by.
    pub(super) fn find(&self, query: &str) -> Vec<Place<'_>> {
        let mut places = Vec::new();
        let mut free_from = 0;
        let mut left: Option<char> = None;
        for (start, first) in query.char_indices() {
            let before = left.replace(first);
            if start < free_from || before.is_some_and(|before| joined(before, first)) {
                continue;
            }
            let Some(&longest) = self.longest.get(&first) else { continue };
            let rest = &query[start..];
            let ends = rest.char_indices().map(|(at, c)| (at + c.len_utf8(), c)).take_while(|(end, _)| *end <= longest);
            let mut found = None;
            for (end, last) in ends {
                let whole = rest[end..].chars().next().is_none_or(|next| !joined(last, next));
                if whole && let Some(terms) = self.by_text.get(&rest[..end]) {
                    found = Some((end, terms));
                }
            }
            if let Some((end, terms)) = found {
                free_from = start + end;
                places.push(Place { at: start..free_from, terms });
            }
        }
        places
    }

    /// The terms of the same meaning as a term, itself among them.
    pub(super) fn same(&self, term: u32) -> &[u32] {
        let of = &self.terms[term as usize];
        self.meanings.get(&(of.ty, of.meaning.clone())).map_or(&[], Vec::as_slice)
    }

    /// Whether one term says all that another says: the same words, or more or fewer of them.
    pub(super) fn overlap(&self, a: u32, b: u32) -> bool {
        let [a, b] = [a, b].map(|term| &self.terms[term as usize].words);
        a == b || a.is_within(b) || b.is_within(a)
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    pub(in crate::pairs) fn index(types: &[(&str, &[&str])]) -> TermIndex {
        let mut terms = Terms::default();
        for (ty, texts) in types {
            for text in *texts {
                terms.add(ty, &[(*text).to_owned()]);
            }
        }
        TermIndex::new(&terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_term_is_taken() {
        let index = testing::index(&[
            ("sleeve", &["长袖", "短袖", "long-sleeved"]),
            ("kind", &["连衣裙", "裙", "衬衫", "shirts", "track pants", "pants", "t恤"]),
            ("gender", &["men", "男"]),
            ("size", &["12v", "2v", "5米", "1.5米"]),
        ]);
        for (query, expected) in [
            ("长袖连衣裙女", &["长袖", "连衣裙"][..]),
            ("半身裙", &["裙"]),
            ("women shirts", &["shirts"]),
            ("men track pants", &["men", "track pants"]),
            ("black t-shirts", &[]),
            ("long-sleeved shirts", &["long-sleeved", "shirts"]),
            ("long-sleeve shirts", &["shirts"]),
            ("12v电源 1.5米", &["12v", "1.5米"]),
            ("男t恤", &["男", "t恤"]),
            ("est恤", &[]),
            ("", &[]),
        ] {
            let found: Vec<&str> = index.find(query).into_iter().map(|place| &query[place.at]).collect();
            assert_eq!(found, expected, "{query}");
        }
    }

    #[test]
    fn a_term_of_two_types_is_found_as_both() {
        let index = testing::index(&[("brand", &["苹果"]), ("kind", &["苹果", "手机"])]);
        let places = index.find("苹果手机");
        assert_eq!(places[0].terms.len(), 2);
        let types: Vec<&str> = places[0]
            .terms
            .iter()
            .map(|&term| index.types[usize::from(index.terms[term as usize].ty)].as_str())
            .collect();
        assert_eq!(types, ["brand", "kind"]);
    }

    #[test]
    fn more_or_fewer_words_overlap() {
        let index = testing::index(&[("c", &["blue", "navy blue", "red", "套装", "运动套装"])]);
        let term = |text: &str| index.terms.iter().position(|term| term.text == text).unwrap() as u32;
        assert!(index.overlap(term("blue"), term("navy blue")) && index.overlap(term("运动套装"), term("套装")));
        assert!(!index.overlap(term("blue"), term("red")));
    }
}
