//! Strings as numbers: ten million log rows repeat their queries and ids.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Distinct strings, numbered from 0. Takes the text, about 30 bytes a string, and nothing a repetition.
#[derive(Debug, Clone, Default)]
pub(super) struct Interner {
    text: String,
    /// Where each string ends in `text`.
    ends: Vec<usize>,
    /// From the hash of a string to its number; strings of the same hash take the next free one.
    index: HashMap<u64, u32>,
}

impl Interner {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn text(&self, number: u32) -> &str {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.text[start..self.ends[number]]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len() as u32).map(|number| self.text(number))
    }

    pub(super) fn get(&self, text: &str) -> Option<u32> {
        self.place(text).ok()
    }

    /// The number of a string, a new one where it is new.
    pub(super) fn intern(&mut self, text: &str) -> u32 {
        match self.place(text) {
            Ok(number) => number,
            Err(key) => {
                let number = self.ends.len() as u32;
                self.text.push_str(text);
                self.ends.push(self.text.len());
                self.index.insert(key, number);
                number
            }
        }
    }

    /// The number of a string, or the free key under which it goes.
    fn place(&self, text: &str) -> Result<u32, u64> {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let mut key = hasher.finish();
        loop {
            match self.index.get(&key) {
                None => return Err(key),
                Some(&number) if self.text(number) == text => return Ok(number),
                Some(_) => key = key.wrapping_add(1),
            }
        }
    }

    /// The same strings in order, and the new number of each old one: what follows from numbers then depends on
    /// the strings alone and not on the order in which they came.
    pub(super) fn sorted(self) -> (Self, Vec<u32>) {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| self.text(a).cmp(self.text(b)));
        let mut sorted = Self::default();
        let mut rank = vec![0; order.len()];
        for old in order {
            rank[old as usize] = sorted.intern(self.text(old));
        }
        (sorted, rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_strings_once_sorted() {
        let mut strings = Interner::default();
        let given = ["b", "", "连衣裙", "b", "a"];
        let numbers: Vec<u32> = given.iter().map(|text| strings.intern(text)).collect();
        assert_eq!(numbers, [0, 1, 2, 0, 3]);
        assert_eq!((strings.get("连衣裙"), strings.get("裙")), (Some(2), None));
        let (sorted, rank) = strings.sorted();
        assert_eq!(sorted.iter().collect::<Vec<_>>(), ["", "a", "b", "连衣裙"]);
        assert_eq!(rank, [2, 0, 3, 1]);
        assert!(given.iter().zip(numbers).all(|(text, old)| sorted.text(rank[old as usize]) == *text));
    }
}
