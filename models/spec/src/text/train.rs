//! WordPiece vocabularies of one's own, for runs too small for a published one.
//!
//! The trainer of the `tokenizers` crate numbers symbols in the order of a randomly seeded hash map and breaks ties
//! between merges by these numbers: two runs over the same texts give two vocabularies. This one gives the same.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use super::tokenizer::{SPECIAL_TOKENS, Tokenizer, TokenizerError};

/// What marks a symbol inside a word.
const CONTINUATION: &str = "##";

/// Occurrences a pair of symbols must have to be merged: what occurs once is not worth an embedding.
const MIN_FREQUENCY: u64 = 2;

type Pair = (u32, u32);

impl Tokenizer {
    /// Trains a WordPiece vocabulary of at most `vocab_size` entries: special tokens, characters (the most frequent
    /// ones, if not all fit), then pairs of neighbouring symbols, merged one after the other, most frequent first.
    /// The same texts, in any order, give the same vocabulary.
    ///
    /// # Errors
    /// If the texts hold no word or `vocab_size` has no room for a character.
    pub fn train(
        texts: impl IntoIterator<Item = String>,
        vocab_size: usize,
        lowercase: bool,
    ) -> Result<Self, TokenizerError> {
        if vocab_size <= SPECIAL_TOKENS.len() {
            let reason = format!("{vocab_size} entries leave no room beside {} special tokens", SPECIAL_TOKENS.len());
            return Err(TokenizerError::Vocabulary(reason));
        }
        let splitter = Self::from_vocab(SPECIAL_TOKENS, lowercase)?;
        let mut words: BTreeMap<String, u64> = BTreeMap::new();
        for text in texts {
            for word in splitter.words(&text) {
                *words.entry(word).or_default() += 1;
            }
        }
        if words.is_empty() {
            return Err(TokenizerError::Vocabulary("the texts to train it on hold no word".into()));
        }
        let mut symbols = Symbols::new(&words, vocab_size);
        let mut merges = Merges::new(&words, &symbols);
        while symbols.names.len() < vocab_size {
            let Some(pair) = merges.next() else { break };
            let merged = symbols.merge(pair);
            merges.apply(pair, merged);
        }
        Self::from_vocab(symbols.names, lowercase)
    }
}

/// The vocabulary as it grows.
struct Symbols {
    names: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Symbols {
    /// Special tokens and characters, by frequency where not all fit, numbered in the order of code points.
    fn new(words: &BTreeMap<String, u64>, vocab_size: usize) -> Self {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for (word, count) in words {
            for symbol in characters(word) {
                *counts.entry(symbol).or_default() += count;
            }
        }
        let mut kept: Vec<(String, u64)> = counts.into_iter().collect();
        kept.sort_by_key(|(_, count)| Reverse(*count));
        kept.truncate(vocab_size - SPECIAL_TOKENS.len());
        kept.sort();
        let mut symbols = Self { names: Vec::new(), ids: HashMap::new() };
        for name in SPECIAL_TOKENS.into_iter().map(str::to_owned).chain(kept.into_iter().map(|(name, _)| name)) {
            symbols.id_of(name);
        }
        symbols
    }

    fn id_of(&mut self, name: String) -> u32 {
        if let Some(&id) = self.ids.get(&name) {
            return id;
        }
        let id = self.names.len() as u32;
        self.names.push(name.clone());
        self.ids.insert(name, id);
        id
    }

    /// The id of two symbols written together, which may have been made of other parts before.
    fn merge(&mut self, (left, right): Pair) -> u32 {
        let right = &self.names[right as usize];
        let name = format!("{}{}", self.names[left as usize], right.strip_prefix(CONTINUATION).unwrap_or(right));
        self.id_of(name)
    }
}

/// A word's characters as symbols: the first plain, the others marked as continuing.
fn characters(word: &str) -> impl Iterator<Item = String> + '_ {
    word.chars().enumerate().map(|(i, c)| if i == 0 { c.to_string() } else { format!("{CONTINUATION}{c}") })
}

/// The words in symbols, and how often which symbols are neighbours.
struct Merges {
    words: Vec<(Vec<u32>, u64)>,
    counts: HashMap<Pair, u64>,
    /// Words in which a pair occurs or has occurred.
    places: HashMap<Pair, BTreeSet<usize>>,
    /// Candidates by frequency, then by the older symbols. Counts go stale; [`Merges::next`] drops those that did.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl Merges {
    fn new(words: &BTreeMap<String, u64>, symbols: &Symbols) -> Self {
        let mut merges =
            Self { words: Vec::new(), counts: HashMap::new(), places: HashMap::new(), queue: BinaryHeap::new() };
        for (word, &count) in words {
            // A word with a character that is left out is [UNK] however its other characters are merged.
            let ids: Option<Vec<u32>> = characters(word).map(|symbol| symbols.ids.get(&symbol).copied()).collect();
            merges.words.extend(ids.map(|ids| (ids, count)));
        }
        for word in 0..merges.words.len() {
            merges.count(word, true);
        }
        merges.queue = merges.counts.iter().map(|(&pair, &count)| (count, Reverse(pair))).collect();
        merges
    }

    /// Adds a word's pairs to the counts, or takes them out; returns the pairs.
    fn count(&mut self, word: usize, add: bool) -> Vec<Pair> {
        let (ids, count) = &self.words[word];
        let pairs: Vec<Pair> = ids.windows(2).map(|pair| (pair[0], pair[1])).collect();
        for &pair in &pairs {
            let total = self.counts.entry(pair).or_default();
            if add {
                *total += count;
                self.places.entry(pair).or_default().insert(word);
            } else {
                *total -= count;
            }
        }
        pairs
    }

    /// The most frequent pair, the oldest symbols first among equals.
    fn next(&mut self) -> Option<Pair> {
        while let Some((count, Reverse(pair))) = self.queue.pop() {
            if count < MIN_FREQUENCY {
                return None;
            }
            if self.counts.get(&pair) == Some(&count) {
                return Some(pair);
            }
        }
        None
    }

    /// Writes every occurrence of a pair as one symbol.
    fn apply(&mut self, pair: Pair, merged: u32) {
        let mut changed = BTreeSet::new();
        for word in self.places.remove(&pair).unwrap_or_default() {
            changed.extend(self.count(word, false));
            let ids = &mut self.words[word].0;
            let mut at = 0;
            while at + 1 < ids.len() {
                if (ids[at], ids[at + 1]) == pair {
                    ids[at] = merged;
                    ids.remove(at + 1);
                }
                at += 1;
            }
            changed.extend(self.count(word, true));
        }
        for pair in changed {
            self.queue.extend(self.counts.get(&pair).map(|&count| (count, Reverse(pair))));
        }
    }
}
