//! Titles without the words that give a tag away.

use std::collections::HashSet;

/// Words to take out of titles.
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    words: HashSet<String>,
}

impl Redaction {
    /// Takes out the words of these phrases, in any case and with an apostrophe s or punctuation around them.
    pub fn new<'a>(phrases: impl IntoIterator<Item = &'a str>) -> Self {
        let words = phrases.into_iter().flat_map(str::split_whitespace).map(normalized).filter(|word| !word.is_empty());
        Self { words: words.collect() }
    }

    /// The title without those words; other words stay as they are, one blank between them.
    pub fn apply(&self, title: &str) -> String {
        let kept: Vec<&str> = title.split_whitespace().filter(|word| !self.words.contains(&normalized(word))).collect();
        kept.join(" ")
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
}
