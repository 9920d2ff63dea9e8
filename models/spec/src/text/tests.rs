//! Tokenization, rows and vocabularies.

use proptest::prelude::*;

use super::*;
use crate::config::Config;

const VOCAB: &str =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nred\nshirt\n##s\nblue\n女\n装\n红\n,\n[\n]\nsep\nun\n##red\ncafe\n";

fn tiny() -> Tokenizer {
    Tokenizer::from_vocab(VOCAB.lines(), true).unwrap()
}

fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    tokenizer.encode(text).ids().iter().map(|&id| tokenizer.token(id).unwrap()).collect()
}

/// A file of the data folder; `None`, said plainly, where there is no such folder.
fn vocab_file(name: &str) -> Option<std::path::PathBuf> {
    let Some(folder) = std::env::var_os("MBSD_DATA") else {
        println!("skipped: MBSD_DATA is not set, {name} is not looked at");
        return None;
    };
    Some(std::path::Path::new(&folder).join("vocab").join(name))
}

#[test]
fn words_are_lowered_split_and_looked_up() {
    let tokenizer = tiny();
    assert_eq!(tokens(&tokenizer, "Red SHIRTS"), ["red", "shirt", "##s"]);
    assert_eq!(tokens(&tokenizer, "红女装shirt,blue"), ["红", "女", "装", "shirt", ",", "blue"]);
    assert_eq!(tokens(&tokenizer, "Café unred green"), ["cafe", "un", "##red", "[UNK]"]);
    assert_eq!(tokens(&tokenizer, "re\u{0}d\u{200b}"), ["red"]);
    assert!(tokenizer.encode(" \t\n\u{3000}").is_empty());
    assert!(tokenizer.encode("").is_empty());
}

#[test]
fn a_special_token_in_the_text_is_text() {
    assert_eq!(tokens(&tiny(), "red[SEP]"), ["red", "[", "sep", "]"]);
    let read = Tokenizer::from_json(&tiny().to_json()).unwrap();
    assert_eq!(tokens(&read, "red[SEP]"), ["red", "[", "sep", "]"]);
}

#[test]
fn it_reads_what_it_writes() {
    let tokenizer = tiny();
    let text = tokenizer.to_json();
    let read = Tokenizer::from_json(&text).unwrap();
    assert_eq!(read.to_json(), text);
    assert_eq!(tokens(&read, "Red 女装 shirts"), tokens(&tokenizer, "Red 女装 shirts"));
    assert_eq!((read.pad_id(), read.unk_id(), read.cls_id(), read.sep_id(), read.mask_id()), (0, 1, 2, 3, 4));
    assert_eq!(read.vocab_size(), VOCAB.lines().count());
}

#[test]
fn both_kinds_of_file_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("vocab.txt", VOCAB.replace('\n', "\r\n")), ("tokenizer.json", tiny().to_json())] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        assert_eq!(Tokenizer::from_file(&path).unwrap().to_json(), tiny().to_json(), "{name}");
    }
    let error = Tokenizer::from_file(folder.path().join("none.txt")).unwrap_err().to_string();
    assert!(error.ends_with("none.txt; give a vocab.txt or a tokenizer.json"), "{error}");
}

#[test]
fn an_unusable_vocabulary_says_what_is_wrong() {
    let message = |text: &str| Tokenizer::from_vocab(text.lines(), true).unwrap_err().to_string();
    assert_eq!(message(&format!("{VOCAB}red\n")), "unusable vocabulary: `red` is on line 6 and on line 20");
    assert!(message(&VOCAB.replace("[SEP]\n", "")).starts_with("the vocabulary has no [SEP]"));
    assert!(message(&VOCAB.replace("[MASK]\n", "")).starts_with("the vocabulary has no [MASK]"));
    assert!(Tokenizer::from_json("{}").unwrap_err().to_string().starts_with("not a tokenizer.json"));
}

#[test]
fn truncation_and_padding_in_a_file_are_left_to_the_rows() {
    let mut value: serde_json::Value = serde_json::from_str(&tiny().to_json()).unwrap();
    value["truncation"] =
        serde_json::json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    value["padding"] = serde_json::json!({"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"});
    let tokenizer = Tokenizer::from_json(&value.to_string()).unwrap();
    assert_eq!(tokenizer.encode("red red red").len(), 3);
}

#[test]
fn every_id_must_have_an_embedding() {
    let mut config = Config { vocab_size: tiny().vocab_size(), ..Config::base() };
    tiny().check_fits(&config).unwrap();
    config.vocab_size -= 1;
    let error = tiny().check_fits(&config).unwrap_err().to_string();
    assert!(error.starts_with("the tokenizer has 19 entries, the model embeds 18"), "{error}");
}

#[test]
fn a_title_stands_between_cls_and_sep_and_is_truncated() {
    let tokenizer = tiny();
    let title = tokenizer.encode("red blue red");
    assert_eq!(tokenizer.title_row(&title, 144).input_ids, [2, 5, 8, 5, 3]);
    assert_eq!(tokenizer.title_row(&title, 4).input_ids, [2, 5, 8, 3]);
    assert_eq!(tokenizer.title_row(&title, 4).token_type_ids, [0; 4]);
    assert_eq!(tokenizer.title_row(&tokenizer.encode(""), 4).input_ids, [2, 3]);
    assert_eq!(tokenizer.title_row(&title, 0).input_ids, [2, 3]);
}

#[test]
fn a_tag_comes_first_and_only_the_title_is_truncated() {
    let tokenizer = tiny();
    let (tag, title) = (tokenizer.encode("red shirts"), tokenizer.encode("blue blue blue"));
    let row = tokenizer.pair_row(&tag, Some(&title), 144).unwrap();
    assert_eq!(row.input_ids, [2, 5, 6, 7, 3, 8, 8, 8, 3]);
    assert_eq!(row.token_type_ids, [0, 0, 0, 0, 0, 1, 1, 1, 1]);
    assert_eq!(tokenizer.pair_row(&tag, Some(&title), 7).unwrap().input_ids, [2, 5, 6, 7, 3, 8, 3]);
    assert_eq!(tokenizer.pair_row(&tag, Some(&title), 6).unwrap().input_ids, [2, 5, 6, 7, 3, 3]);
    let alone = tokenizer.pair_row(&tag, None, 5).unwrap();
    assert_eq!((alone.input_ids, alone.token_type_ids), (vec![2, 5, 6, 7, 3], vec![0; 5]));
}

#[test]
fn a_tag_that_does_not_fit_is_an_error() {
    let tokenizer = tiny();
    let tag = tokenizer.encode("red shirts");
    let error = tokenizer.pair_row(&tag, Some(&tokenizer.encode("")), 5).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the tag or query takes 6 tokens with its special tokens, the limit is 5: shorten it (only titles are truncated)"
    );
    assert_eq!(error.code(), "tag_too_long");
    let endless = tokenizer.encode(&"red ".repeat(600));
    let error = tokenizer.pair_row(&endless, None, 10_000).unwrap_err().to_string();
    assert!(error.contains("takes more than 514 tokens"), "{error}");
}

#[test]
fn of_a_huge_title_a_prefix_is_read() {
    let tokenizer = tiny();
    for (unit, expected) in [("red shirts ", 512), ("女", 512), ("r", 1), ("\u{200b}", 0), (",", 512), ("é", 1)] {
        let text = unit.repeat((1 << 20) / unit.len());
        let started = std::time::Instant::now();
        let ids = tokenizer.encode(&text);
        println!("1 MiB of {unit:?}: {} tokens in {:?}", ids.len(), started.elapsed());
        assert_eq!(ids.len(), expected, "{unit:?}");
    }
    let text = format!("{}{}", "red ".repeat(600), "\u{10ffff}".repeat(1 << 18));
    assert!(tokenizer.encode(&text).is_cut());
}

#[test]
fn published_vocabularies_are_read() {
    for (name, entries, text, expected) in [
        (
            "bert-base-chinese-vocab.txt",
            21128,
            "女装 V领 T恤,size XL",
            &["女", "装", "v", "领", "t", "恤", ",", "size", "xl"][..],
        ),
        ("bert-base-uncased-vocab.txt", 30522, "Women's V-neck Tee", &["women", "'", "s", "v", "-", "neck", "tee"][..]),
    ] {
        let Some(path) = vocab_file(name) else { return };
        let tokenizer = Tokenizer::from_file(path).unwrap();
        assert_eq!(tokenizer.vocab_size(), entries);
        assert_eq!(tokens(&tokenizer, text), expected);
        assert_eq!(tokenizer.cls_id(), 101);
    }
}

fn corpus() -> Vec<String> {
    ["Red shirts for women", "red skirts, short", "红色女装 short sleeve", "女装 shirt", "shorts and skirts for men"]
        .map(str::to_owned)
        .to_vec()
}

#[test]
fn training_gives_the_same_vocabulary_in_any_order() {
    let first = Tokenizer::train(corpus(), 60, true).unwrap().to_json();
    for _ in 0..5 {
        assert_eq!(Tokenizer::train(corpus(), 60, true).unwrap().to_json(), first);
        assert_eq!(Tokenizer::train(corpus().into_iter().rev(), 60, true).unwrap().to_json(), first);
    }
}

#[test]
fn a_trained_vocabulary_spells_its_texts() {
    let tokenizer = Tokenizer::train(corpus(), 60, true).unwrap();
    assert!(tokenizer.vocab_size() <= 60);
    assert_eq!((tokenizer.pad_id(), tokenizer.mask_id()), (0, 4));
    for text in corpus() {
        let tokens = tokens(&tokenizer, &text);
        assert!(!tokens.contains(&"[UNK]".to_owned()), "{tokens:?}");
        let spelled: String = tokens.iter().map(|token| token.trim_start_matches("##")).collect();
        assert_eq!(spelled, text.to_lowercase().replace(' ', ""));
    }
    assert_eq!(tokens(&tokenizer, "skirts"), ["skirts"], "a frequent word is one token");
    let cased = Tokenizer::train(corpus(), 60, false).unwrap();
    assert_eq!(tokens(&cased, "Red")[0].chars().next(), Some('R'));
}

#[test]
fn a_vocabulary_too_small_for_all_characters_keeps_the_frequent_ones() {
    let tokenizer = Tokenizer::train(["a a a b b c".to_owned()], 7, true).unwrap();
    assert_eq!(tokens(&tokenizer, "a b c"), ["a", "b", "[UNK]"]);
    let error = Tokenizer::train(corpus(), 5, true).unwrap_err().to_string();
    assert!(error.contains("5 entries leave no room beside 5 special tokens"), "{error}");
    assert!(Tokenizer::train([" ".to_owned()], 50, true).unwrap_err().to_string().contains("hold no word"));
}

/// Text that comes near every rule: words known and unknown, Chinese, punctuation, accents, marks, blanks, controls.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec!["red", "Shirts", "unred", "green", " ", " ", "女", "装", ",", "，", "[SEP]", "é"]),
        1 => prop::sample::select(vec!["e\u{301}", "\u{301}\u{327}", "\u{3000}", "\u{0}", "\u{200b}", "\n", "İ", "ﬁ", "한", "😀"]),
    ];
    let long = "[a-c]{0,150}";
    prop::collection::vec(prop_oneof![20 => piece.prop_map(str::to_owned), 1 => long], 0..60).prop_map(|v| v.concat())
}

proptest! {
    #[test]
    fn a_prefix_of_the_text_gives_a_prefix_of_the_tokens(text in any_text(), first in 1usize..64, limit in 0usize..40) {
        let tokenizer = tiny();
        let whole = tokenizer.encode_within(&text, usize::MAX, usize::MAX);
        let bounded = tokenizer.encode_within(&text, first, limit);
        prop_assert_eq!(bounded.ids(), &whole.ids()[..whole.len().min(limit)]);
        prop_assert_eq!(bounded.is_cut(), whole.len() > limit);
    }

    #[test]
    fn rows_keep_their_form_within_the_limit(tag in any_text(), title in any_text(), limit in 2usize..64) {
        let tokenizer = tiny();
        let (tag, title) = (tokenizer.encode(&tag), tokenizer.encode(&title));
        let row = tokenizer.title_row(&title, limit);
        prop_assert!(row.len() <= limit && row.len() == row.token_type_ids.len());
        match tokenizer.pair_row(&tag, Some(&title), limit) {
            Err(_) => prop_assert!(tag.len() + 3 > limit),
            Ok(row) => {
                prop_assert_eq!(row.len(), (tag.len() + title.len() + 3).min(limit));
                let separators = row.input_ids.iter().filter(|&&id| id == 3).count();
                let first = row.input_ids.iter().position(|&id| id == 3).unwrap();
                prop_assert_eq!((separators, first, row.input_ids[0]), (2, tag.len() + 1, 2));
                let segments = row.token_type_ids.iter().enumerate();
                prop_assert!(segments.into_iter().all(|(i, &segment)| segment == i64::from(i > first)));
            }
        }
    }
}
