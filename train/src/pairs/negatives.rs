//! Positives and hard negatives of a product (paper, section 3.5).

use std::borrow::Cow;
use std::collections::HashSet;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::catalogue::{Catalogue, ProductRow};
use super::known::Known;
use super::log::Log;
use super::pools::{Pools, Reach};
use super::segment::TermIndex;
use super::words::{WordSet, normalized};

/// Queries of the category drawn at random before they are gone through in order.
const DRAWS: usize = 32;

/// Queries of the category gone through, at most.
const SCANNED: usize = 512;

/// Rewritings tried with terms of each reach.
const REWRITINGS: [(Reach, usize); 3] = [(Reach::Category, 24), (Reach::Queries, 24), (Reach::Dictionary, 16)];

/// Rewritings among which one is chosen, at most.
const CHOICES: usize = 8;

/// Where a pair comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Bought by enough people: label 1.
    Purchase,
    /// A query of the product's category: label 0.
    SameCategory,
    /// A query of the product with one term exchanged: label 0.
    Rewrite,
}

impl Source {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Purchase => "purchase",
            Self::SameCategory => "same_category",
            Self::Rewrite => "rewrite",
        }
    }

    /// 1 for a positive, 0 for a negative.
    pub fn label(self) -> u8 {
        u8::from(self == Self::Purchase)
    }
}

/// One query with its product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair<'a> {
    pub(super) query: Cow<'a, str>,
    pub(super) source: Source,
}

/// The pairs of one product.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Made<'a> {
    pub(super) pairs: Vec<Pair<'a>>,
    /// Positives that were to have a negative and have none.
    pub(super) without_negative: u64,
    /// Negatives that were to be made and could not.
    pub(super) missing: u64,
    /// Positives with a typed term.
    pub(super) with_term: u64,
}

/// How many pairs to make.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) min_buyers: u32,
    /// Negatives of each kind for a positive, on average.
    pub(super) same_category: f64,
    pub(super) rewrite: f64,
    pub(super) seed: u64,
}

/// Makes the pairs of products.
pub(super) struct Maker<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) log: &'a Log,
    pub(super) terms: &'a TermIndex,
    /// The attribute column of each type, where the type is one.
    pub(super) columns: Vec<Option<usize>>,
    pub(super) pools: Pools,
    pub(super) rules: Rules,
}

/// A product whose pairs are being made.
struct Subject<'a> {
    product: &'a ProductRow,
    known: Known<'a>,
    /// Negatives made so far.
    used: HashSet<String>,
}

impl<'a> Maker<'a> {
    /// The pairs of the product at a place of the catalogue. What they are depends on the data and the seed alone.
    pub(super) fn product(&self, place: usize) -> Made<'a> {
        let behaviours = self.log.of_product(place);
        let mut made = Made::default();
        if !behaviours.iter().any(|behaviour| behaviour.buyers >= self.rules.min_buyers) {
            return made;
        }
        let mut random = ChaCha8Rng::seed_from_u64(self.rules.seed);
        random.set_stream(place as u64);
        let product = &self.catalogue.products[place];
        let known = Known::new(self.catalogue, product, behaviours, self.log);
        let mut subject = Subject { product, known, used: HashSet::new() };
        for positive in behaviours.iter().filter(|behaviour| behaviour.buyers >= self.rules.min_buyers) {
            let query = self.log.queries.text(positive.query);
            made.pairs.push(Pair { query: query.into(), source: Source::Purchase });
            made.with_term += u64::from(!self.terms.find(query).is_empty());
            let before = made.pairs.len();
            let wanted = self.kinds(&mut random);
            for &kind in &wanted {
                made.pairs.extend(self.negative(kind, &mut subject, query, &mut random));
            }
            let found = made.pairs.len() - before;
            made.missing += (wanted.len() - found) as u64;
            made.without_negative += u64::from(found == 0 && !wanted.is_empty());
        }
        made
    }

    /// The kinds of negatives a positive is to have: their number and the share of each kind keep to the averages.
    fn kinds(&self, random: &mut impl Rng) -> Vec<Source> {
        let Rules { same_category, rewrite, .. } = self.rules;
        let chance: f64 = random.random();
        let all = (same_category + rewrite + chance).floor() as usize;
        let same = ((same_category + chance).floor() as usize).min(all);
        let mut kinds = vec![Source::SameCategory; same];
        kinds.resize(all, Source::Rewrite);
        kinds
    }

    /// A negative of a kind, or of the other one where that kind cannot be had and the other is made too.
    fn negative(
        &self,
        kind: Source,
        subject: &mut Subject<'_>,
        query: &str,
        random: &mut impl Rng,
    ) -> Option<Pair<'a>> {
        let (other, other_rate) = match kind {
            Source::Rewrite => (Source::SameCategory, self.rules.same_category),
            _ => (Source::Rewrite, self.rules.rewrite),
        };
        let other = (other_rate > 0.0).then_some(other);
        [Some(kind), other].into_iter().flatten().find_map(|source| {
            let query: Cow<'a, str> = match source {
                Source::Rewrite => self.rewritten(subject, query, random)?.into(),
                _ => self.of_category(subject, random)?.into(),
            };
            subject.used.insert(query.to_string());
            Some(Pair { query, source })
        })
    }

    /// A query that products of the category were bought with, and that is not known to be true of this one.
    fn of_category(&self, subject: &Subject<'_>, random: &mut impl Rng) -> Option<&'a str> {
        let pool = self.pools.queries(subject.product.category?);
        if pool.is_empty() {
            return None;
        }
        let usable = |query: u32| {
            let text = self.log.queries.text(query);
            let known = &subject.known;
            (!known.has_behaviour(query)
                && !subject.used.contains(text)
                && !known.implies(&WordSet::of(text))
                && !known.may_be_true(text, self.terms, &self.columns))
            .then_some(text)
        };
        let drawn = (0..DRAWS).find_map(|_| usable(pool[random.random_range(0..pool.len())]));
        drawn.or_else(|| {
            let start = random.random_range(0..pool.len());
            let mut at = start;
            let mut wrapped = false;
            for _ in 0..SCANNED {
                if let Some(text) = usable(pool[at]) {
                    return Some(text);
                }
                at += pool[at..].partition_point(|&query| query <= pool[at]);
                if at == pool.len() {
                    (at, wrapped) = (0, true);
                }
                if wrapped && at >= start {
                    break;
                }
            }
            None
        })
    }

    /// A query with one term exchanged for another of its type, so that it is not known to be true of the product.
    /// Of several, one is chosen by how often positives have it: `men sarees` can be told without seeing the product.
    fn rewritten(&self, subject: &Subject<'_>, query: &str, random: &mut impl Rng) -> Option<String> {
        let places = self.terms.find(query);
        if places.is_empty() {
            return None;
        }
        for (reach, tries) in REWRITINGS {
            let mut choices: Vec<(String, u64)> = Vec::new();
            for _ in 0..tries {
                let place = &places[random.random_range(0..places.len())];
                let old = place.terms[random.random_range(0..place.terms.len())];
                let ty = self.terms.terms[old as usize].ty;
                let new = self.pools.term(reach, subject.product.category, ty, random);
                let Some(new) = new.filter(|&new| self.may_replace(subject, old, new)) else { continue };
                let text = &self.terms.terms[new as usize].text;
                let text = normalized(&format!("{}{text}{}", &query[..place.at.start], &query[place.at.end..]));
                let number = self.log.queries.get(&text);
                let used = subject.used.contains(&text) || choices.iter().any(|(chosen, _)| *chosen == text);
                if used || number.is_some_and(|query| subject.known.has_behaviour(query)) {
                    continue;
                }
                if !subject.known.implies(&WordSet::of(&text))
                    && !subject.known.may_be_true(&text, self.terms, &self.columns)
                {
                    choices.push((text, 1 + number.map_or(0, |query| self.pools.positives(query))));
                }
                if choices.len() == CHOICES {
                    break;
                }
            }
            let total: u64 = choices.iter().map(|(_, weight)| weight).sum();
            if total > 0 {
                let mut at = random.random_range(0..total);
                return choices.into_iter().find_map(|(text, weight)| {
                    let chosen = at < weight;
                    at = at.saturating_sub(weight);
                    chosen.then_some(text)
                });
            }
        }
        None
    }

    /// Whether another term takes away what was true: it means something else, and is not known to be true too.
    fn may_replace(&self, subject: &Subject<'_>, old: u32, new: u32) -> bool {
        let same = self.terms.same(new);
        let column = self.columns[usize::from(self.terms.terms[old as usize].ty)];
        !same.contains(&old)
            && !self.terms.overlap(old, new)
            && !same.iter().any(|&term| subject.known.says(&self.terms.terms[term as usize], column))
    }
}

#[cfg(test)]
mod tests;
