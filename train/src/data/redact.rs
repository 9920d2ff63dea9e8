//! Titles without the words that give a tag away.

use std::collections::{BTreeSet, HashSet};

use crate::pairs::{is_ideograph, joined};

/// Words to take out of titles.
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    words: HashSet<String>,
    /// Those with Chinese or Japanese characters, which are found within what is written without blanks.
    parts: HashSet<Vec<char>>,
    /// How many characters those have.
    lengths: BTreeSet<usize>,
}

impl Redaction {
    /// Takes out the words of these phrases, in any case and with an apostrophe s or punctuation around them.
    pub fn new<'a>(phrases: impl IntoIterator<Item = &'a str>) -> Self {
        let words = phrases.into_iter().flat_map(str::split_whitespace).map(normalized).filter(|word| !word.is_empty());
        let (parts, words): (Vec<_>, _) = words.partition(|word| word.contains(is_ideograph));
        let parts: HashSet<Vec<char>> = parts.iter().map(|part| part.chars().collect()).collect();
        Self { words: HashSet::from_iter(words), lengths: parts.iter().map(Vec::len).collect(), parts }
    }

    /// The title without those words; other words stay as they are, one blank between them.
    pub fn apply(&self, title: &str) -> String {
        let title = &self.without_parts(title);
        let kept: Vec<&str> = title.split_whitespace().filter(|word| !self.words.contains(&normalized(word))).collect();
        kept.join(" ")
    }

    /// Of parts that begin at the same character, the longest goes.
    fn without_parts(&self, title: &str) -> String {
        let title: Vec<char> = title.chars().collect();
        let lower: Vec<char> = title.iter().map(|c| c.to_lowercase().next().unwrap_or(*c)).collect();
        let mut kept = String::new();
        let mut at = 0;
        while at < title.len() {
            let within = |place: usize| place > 0 && place < lower.len() && joined(lower[place - 1], lower[place]);
            let part = |&&length: &&usize| {
                let end = at + length;
                lower.get(at..end).is_some_and(|part| self.parts.contains(part)) && !within(at) && !within(end)
            };
            let length = self.lengths.iter().rev().find(part);
            // What stood on both sides of a part does not become one word.
            kept.push(if length.is_some() { ' ' } else { title[at] });
            at += length.unwrap_or(&1);
        }
        kept
    }
}

fn normalized(word: &str) -> String {
    let lower = word.to_lowercase();
    let word = lower.trim_matches(|c: char| !c.is_alphanumeric());
    word.strip_suffix("'s").or_else(|| word.strip_suffix("\u{2019}s")).unwrap_or(word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_and_parts_of_words_stay() {
        let redaction = Redaction::new(["Navy Blue", "Men", "Multi", "Peach"]);
        for (title, expected) in [
            ("Nike Men's Navy Blue T-shirt", "Nike T-shirt"),
            ("Tonga Women Peach-Coloured Top", "Tonga Women Peach-Coloured Top"),
            ("MEN  navy Multi- bag, blue.", "bag,"),
            ("Ment Bluetooth", "Ment Bluetooth"),
            ("", ""),
        ] {
            assert_eq!(redaction.apply(title), expected, "{title}");
        }
    }

    #[test]
    fn chinese_words_go_wherever_they_stand() {
        let redaction = Redaction::new(["长袖", "V领", "长袖衬衫", "Men"]);
        for (title, expected) in [
            ("新款长袖连衣裙", "新款 连衣裙"),
            ("长袖衬衫长袖", ""),
            ("秋装v领 针织Men开衫 men", "秋装 针织Men开衫"),
            ("Nike长袖Polo LV领带", "Nike Polo LV领带"),
            ("长 袖", "长 袖"),
        ] {
            assert_eq!(redaction.apply(title), expected, "{title}");
        }
    }
}
