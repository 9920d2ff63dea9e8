//! Texts already tokenized.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mbsd_spec::Tokenizer;
use mbsd_spec::text::TextIds;

/// Parts of the cache, so that threads seldom wait for each other.
const PARTS: usize = 16;

/// Texts of a part; one that is full begins anew, so that memory does not grow with the input.
const PART_TEXTS: usize = 256;

/// Tokenizes a text that comes again and again (a title of several colours, a tag) once.
pub(super) struct Texts<'a> {
    tokenizer: &'a Tokenizer,
    hasher: RandomState,
    parts: [Mutex<HashMap<String, Arc<TextIds>>>; PARTS],
    tokenized: AtomicU64,
}

impl<'a> Texts<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, hasher: RandomState::new(), parts: Default::default(), tokenized: AtomicU64::new(0) }
    }

    /// The token ids of a text.
    pub(super) fn ids(&self, text: &str) -> Arc<TextIds> {
        let part = &self.parts[self.hasher.hash_one(text) as usize % PARTS];
        // Held while the text is tokenized, so that another thread does not do it too. The map is whole whatever happened.
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ids) = part.get(text) {
            return ids.clone();
        }
        let ids = Arc::new(self.tokenizer.encode(text));
        self.tokenized.fetch_add(1, Ordering::Relaxed);
        if part.len() == PART_TEXTS {
            part.clear();
        }
        part.insert(text.to_owned(), ids.clone());
        ids
    }

    /// How often a text was tokenized.
    pub(super) fn tokenized(&self) -> u64 {
        self.tokenized.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::testing::tokenizer;

    #[test]
    fn a_text_is_tokenized_once_and_memory_is_bounded() {
        let tokenizer = tokenizer();
        let texts = Texts::new(&tokenizer);
        for _ in 0..3 {
            for text in ["red shirt", "blue", ""] {
                assert_eq!(texts.ids(text).ids(), tokenizer.encode(text).ids());
            }
        }
        assert_eq!(texts.tokenized(), 3);
        for number in 0..PARTS * PART_TEXTS * 2 {
            texts.ids(&number.to_string());
        }
        let held: usize = texts.parts.iter().map(|part| part.lock().unwrap().len()).sum();
        assert!((1..=PARTS * PART_TEXTS).contains(&held), "{held}");
    }
}
