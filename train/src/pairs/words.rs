//! Queries in one form, and the words that make them up.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A query in the form in which it is compared and written: lower case, full-width letters and digits as ordinary
/// ones, single blanks. Positives and negatives share it, so that spelling does not tell a label.
pub fn normalized(query: &str) -> String {
    let mut text = String::with_capacity(query.len());
    for c in query.chars() {
        let c = match c {
            '\u{3000}' => ' ',
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
            c => c,
        };
        if !(c.is_whitespace() || c.is_control()) {
            text.extend(c.to_lowercase());
        } else if !text.is_empty() && !text.ends_with(' ') {
            text.push(' ');
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// Whether a character is a word of its own: Chinese characters and Japanese syllables.
pub(crate) fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Whether two neighbouring characters belong to one word, so that no term begins or ends between them.
pub(crate) fn joined(left: char, right: char) -> bool {
    let part = |c: char| (c.is_alphanumeric() && !is_ideograph(c)) || matches!(c, '-' | '\'' | '\u{2019}' | '.' | '_');
    part(left) && part(right)
}

/// The words of a text as a set: each Chinese character, and each run of other letters and digits in its singular.
/// Order and repetition are left out, so two queries of the same words are one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WordSet {
    /// Hashes of the words, sorted.
    words: Vec<u64>,
}

impl WordSet {
    pub(super) fn of(text: &str) -> Self {
        Self::of_all([text])
    }

    /// The words of several texts together.
    pub(super) fn of_all<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut words = Vec::new();
        for text in texts {
            for_each_word(&normalized(text), |word| {
                let mut hasher = DefaultHasher::new();
                word.hash(&mut hasher);
                words.push(hasher.finish());
            });
        }
        words.sort_unstable();
        words.dedup();
        Self { words }
    }

    /// Whether every word of this set is in another; an empty one never is.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        !self.words.is_empty()
            && self.words.len() <= other.words.len()
            && self.words.iter().all(|word| other.words.binary_search(word).is_ok())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.words.iter().copied()
    }
}

fn for_each_word(text: &str, mut take: impl FnMut(&str)) {
    for run in text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '\'' | '\u{2019}')) {
        let mut rest = run;
        while let Some(first) = rest.chars().next() {
            let end =
                if is_ideograph(first) { first.len_utf8() } else { rest.find(is_ideograph).unwrap_or(rest.len()) };
            let (word, after) = rest.split_at(end);
            let word = singular(word);
            if !word.is_empty() {
                take(word);
            }
            rest = after;
        }
    }
}

/// An English word without the ending of its plural or genitive. Crude: it only has to make `men's shirts` and
/// `men shirt` the same words.
fn singular(word: &str) -> &str {
    let word = word.trim_matches(['\'', '\u{2019}']);
    let word = word.strip_suffix("'s").or_else(|| word.strip_suffix("\u{2019}s")).unwrap_or(word);
    if word.len() < 4 || !word.ends_with('s') || word.ends_with("ss") || !word.is_ascii() {
        return word;
    }
    let stem = &word[..word.len() - 1];
    match stem.strip_suffix('e') {
        Some(short) if ["s", "sh", "ch", "x"].iter().any(|end| short.ends_with(end)) => short,
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_query_has_one_form() {
        for (query, expected) in [
            ("  Black   Men\tShirts ", "black men shirts"),
            ("ＴＯＴＯ　坐便器", "toto 坐便器"),
            ("１２Ｖ 电源", "12v 电源"),
            ("\u{3000}", ""),
            ("长袖连衣裙", "长袖连衣裙"),
        ] {
            assert_eq!(normalized(query), expected);
        }
    }

    #[test]
    fn words_do_not_depend_on_order_number_or_punctuation() {
        for (a, b) in [
            ("men's black shirts", "Black shirt, men"),
            ("长袖 连衣裙", "连衣裙长袖"),
            ("t恤女", "女 T恤"),
            ("dresses", "dress"),
            ("mens watches", "men watch"),
        ] {
            assert_eq!(WordSet::of(a), WordSet::of(b), "{a} / {b}");
        }
        assert_ne!(WordSet::of("12岁男孩"), WordSet::of("2岁男孩"));
        assert_ne!(WordSet::of("glass"), WordSet::of("glas"));
        assert_ne!(WordSet::of("men"), WordSet::of("women"));
    }

    #[test]
    fn a_part_is_within_the_whole() {
        let within = |a: &str, b: &str| WordSet::of(a).is_within(&WordSet::of(b));
        assert!(within("men shirts", "black men shirts"));
        assert!(within("衬衫男", "黑色男士衬衫"));
        assert!(!within("black women shirts", "black men shirts"));
        assert!(!within("", "black"));
        assert!(!within("!", "black"));
    }

    #[test]
    fn words_join_and_ideographs_do_not() {
        assert!(joined('1', '2') && joined('t', '-') && joined('1', '.'));
        assert!(!joined('t', '恤') && !joined('长', '袖') && !joined('n', ' '));
    }
}
