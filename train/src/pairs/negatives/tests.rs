//! One test a rule; each rule is the only reason for its outcome.

use std::collections::BTreeSet;

use super::super::catalogue::testing::catalogue;
use super::super::log::testing::log;
use super::super::segment::testing::index;
use super::super::terms::Terms;
use super::*;

/// The pairs of product 0, over several seeds.
struct Case<'a> {
    products: &'a str,
    columns: &'a [&'a str],
    log: &'a [(&'a str, u32, u64)],
    terms: TermIndex,
    /// Negatives for a positive: same category, rewrite.
    rates: [f64; 2],
}

impl Case<'_> {
    fn made<T>(&self, seed: u64, read: impl FnOnce(Made<'_>) -> T) -> T {
        let catalogue = catalogue(self.products, self.columns);
        let log = log(catalogue.products.len(), self.log);
        let place = |ty: &String| catalogue.columns.iter().position(|column| column == ty);
        let [same_category, rewrite] = self.rates;
        let maker = Maker {
            columns: self.terms.types.iter().map(place).collect(),
            pools: Pools::new(&catalogue, &log, &self.terms, 2),
            rules: Rules { min_buyers: 2, same_category, rewrite, seed },
            catalogue: &catalogue,
            log: &log,
            terms: &self.terms,
        };
        read(maker.product(0))
    }

    /// All negatives that any of 200 seeds makes.
    fn negatives(&self) -> BTreeSet<(String, Source)> {
        let of_seed = |seed| {
            self.made(seed, |made| {
                let negatives = made.pairs.into_iter().filter(|pair| pair.source != Source::Purchase);
                negatives.map(|pair| (pair.query.into_owned(), pair.source)).collect::<Vec<_>>()
            })
        };
        (0..200).flat_map(of_seed).collect()
    }

    fn texts(&self) -> Vec<String> {
        self.negatives().into_iter().map(|(text, _)| text).collect()
    }
}

fn case<'a>(products: &'a str, log: &'a [(&'a str, u32, u64)], rates: [f64; 2]) -> Case<'a> {
    Case { products, columns: &[], log, terms: TermIndex::default(), rates }
}

#[test]
fn several_buyers_make_a_positive() {
    let case = case("id,category,title\n1,a,\n", &[("x", 0, 2), ("y", 0, 1), ("z", 0, 0), ("w", 0, 9)], [0.0, 0.0]);
    let positives = case.made(0, |made| made.pairs.into_iter().map(|pair| pair.query.into_owned()).collect::<Vec<_>>());
    assert_eq!(positives, ["w", "x"]);
}

#[test]
fn queries_of_the_category_come_from_positives_and_have_no_behaviour() {
    let products = "id,category,title\n1,shoes,\n2,shoes,\n3,hats,\n";
    let log = [
        ("red shoes", 0, 2),
        ("clicked shoes", 0, 0),
        ("clicked shoes", 1, 5),
        // Not a word, so that only the click itself tells.
        ("★", 0, 0),
        ("★", 1, 5),
        ("blue shoes", 1, 2),
        ("rare shoes", 1, 1),
        ("green hats", 2, 5),
    ];
    assert_eq!(case(products, &log, [1.0, 0.0]).texts(), ["blue shoes"]);
}

#[test]
fn a_part_of_a_purchase_or_of_the_title_is_no_negative() {
    let products = "id,category,title\n1,shoes,Puma Sneakers in White\n2,shoes,\n";
    let log = [
        ("red running shoes", 0, 2),
        ("red shoe", 1, 2),
        ("white sneakers", 1, 2),
        ("running red", 1, 2),
        ("white shoes", 1, 2),
    ];
    assert_eq!(case(products, &log, [1.0, 0.0]).texts(), ["white shoes"]);
}

#[test]
fn a_query_about_an_attribute_that_is_not_known_is_no_negative() {
    let products = "id,category,title,gender\n1,bags,,\n2,bags,,men\n";
    let log = [("red bags", 0, 2), ("men bags", 1, 2), ("blue bags", 1, 2)];
    let terms = || index(&[("gender", &["men"])]);
    let known = Case { columns: &["gender"], terms: terms(), ..case(products, &log, [1.0, 0.0]) };
    assert_eq!(known.texts(), ["blue bags"]);
    let unknown = Case { terms: terms(), ..case(products, &log, [1.0, 0.0]) };
    assert_eq!(unknown.texts(), ["blue bags", "men bags"], "without the column nothing is known of any product");
}

#[test]
fn a_rewritten_query_says_nothing_of_an_attribute_that_is_not_known() {
    let log = [("men red bags", 0, 2)];
    let terms = || index(&[("gender", &["men", "women"]), ("colour", &["red", "blue"])]);
    let made = |products: &str| {
        let columns = &["gender", "colour"][..];
        Case { columns, terms: terms(), ..case(products, &log, [0.0, 1.0]) }.texts()
    };
    let unknown = made("id,category,title,gender,colour\n1,bags,,,red\n");
    assert!(unknown.is_empty(), "it may be for women, and for men: {unknown:?}");
    let known = made("id,category,title,gender,colour\n1,bags,,men,red\n");
    assert_eq!(known, ["men blue bags", "women red bags"]);
}

#[test]
fn one_term_is_exchanged_for_one_of_its_type() {
    let products = "id,category,title\n1,裙,\n";
    let terms = index(&[("袖", &["长袖", "短袖", "无袖"]), ("品类", &["连衣裙", "衬衫"])]);
    let case = Case { terms, ..case(products, &[("长袖连衣裙女", 0, 3)], [0.0, 1.0]) };
    assert_eq!(case.texts(), ["无袖连衣裙女", "短袖连衣裙女", "长袖衬衫女"]);
}

#[test]
fn a_rewritten_query_has_no_behaviour_and_says_nothing_known() {
    let products = "id,category,title\n1,c,White Shirt\n";
    let terms = || index(&[("colour", &["red", "blue", "green", "white", "dark red", "black", "pink"])]);
    let log = [
        ("red shirts", 0, 2),
        // A click.
        ("blue shirts", 0, 0),
        // The same words as a rewritten query, and more.
        ("shirts with green dots", 0, 1),
        ("men's pink shirt", 0, 1),
    ];
    let case = Case { terms: terms(), ..case(products, &log, [0.0, 1.0]) };
    assert_eq!(case.texts(), ["black shirts"], "white is in the title, dark red is red");
}

#[test]
fn a_rewritten_query_says_none_of_the_products_own_values() {
    let products = "id,category,title,colour\n1,c,,blue\n";
    let log = [("red shirts", 0, 2)];
    let terms = || index(&[("colour", &["red", "blue", "navy blue", "pink"])]);
    let with = Case { columns: &["colour"], terms: terms(), ..case(products, &log, [0.0, 1.0]) };
    assert_eq!(with.texts(), ["pink shirts"]);
    let without = Case { terms: terms(), ..case(products, &log, [0.0, 1.0]) };
    assert_eq!(without.texts(), ["blue shirts", "navy blue shirts", "pink shirts"]);
}

#[test]
fn terms_of_one_meaning_are_not_exchanged() {
    let mut terms = Terms::default();
    for meaning in [&["nike", "耐克"][..], &["阿迪达斯", "adidas"], &["puma"]] {
        terms.add("brand", &meaning.iter().map(|&term| term.to_owned()).collect::<Vec<_>>());
    }
    let products = "id,category,title\n1,c,Adidas originals\n";
    let case = Case { terms: TermIndex::new(&terms), ..case(products, &[("nike 鞋", 0, 2)], [0.0, 1.0]) };
    assert_eq!(case.texts(), ["puma 鞋"], "the title has another name of 阿迪达斯");
}

#[test]
fn terms_of_the_category_come_first() {
    let products = "id,category,title\n1,tops,\n2,tops,\n3,shoes,\n";
    let log = [("shirts", 0, 2), ("tunics", 1, 2), ("sandals", 2, 2)];
    let terms = || index(&[("kind", &["shirts", "tunics", "sandals", "hats"])]);
    assert_eq!(Case { terms: terms(), ..case(products, &log, [0.0, 1.0]) }.texts(), ["tunics"]);
    let alone = "id,category,title\n1,tops,\n2,x,\n3,shoes,\n";
    assert_eq!(Case { terms: terms(), ..case(alone, &log, [0.0, 1.0]) }.texts(), ["sandals", "tunics"]);
    let log = [("shirts", 0, 2)];
    assert_eq!(Case { terms: terms(), ..case(alone, &log, [0.0, 1.0]) }.texts(), ["hats", "sandals", "tunics"]);
}

#[test]
fn a_kind_that_cannot_be_had_is_made_up_for_by_the_other() {
    let products = "id,category,title\n1,a,\n2,a,\n";
    let log = [("red shoes", 0, 2), ("blue hats", 1, 2)];
    let both = case(products, &log, [0.5, 0.5]);
    let sources: BTreeSet<Source> = both.negatives().into_iter().map(|(_, source)| source).collect();
    assert_eq!(sources, BTreeSet::from([Source::SameCategory]), "there are no terms");
    both.made(0, |made| assert_eq!((made.pairs.len(), made.missing), (2, 0)));
    let rewrite = case(products, &log, [0.0, 1.0]);
    rewrite.made(0, |made| assert_eq!((made.pairs.len(), made.missing, made.without_negative), (1, 1, 1)));
}

#[test]
fn a_negative_is_made_once() {
    let products = "id,category,title\n1,a,\n2,a,\n";
    let log = [("red shoes", 0, 2), ("pink shoes", 0, 2), ("blue hats", 1, 2)];
    case(products, &log, [1.0, 0.0]).made(0, |made| {
        assert_eq!((made.pairs.len(), made.missing, made.without_negative), (3, 1, 1));
    });
}

#[test]
fn numbers_of_negatives_keep_to_their_averages() {
    let words: Vec<String> = (0..2000).map(|number| format!("w{number}")).collect();
    let log: Vec<(&str, u32, u64)> =
        words.iter().enumerate().map(|(number, word)| (word.as_str(), u32::from(number % 10 != 0), 2)).collect();
    let kinds: Vec<&str> = words.iter().map(String::as_str).collect();
    for (rates, same, all) in [([0.5, 0.5], 100.0, 200), ([0.25, 0.75], 50.0, 200), ([1.5, 0.5], 300.0, 400)] {
        let case = Case { terms: index(&[("kind", &kinds)]), ..case("id,category,title\n1,a,\n2,a,\n", &log, rates) };
        case.made(3, |made| {
            let of = |source| made.pairs.iter().filter(|pair| pair.source == source).count();
            assert_eq!(of(Source::Purchase), 200);
            let found = of(Source::SameCategory);
            assert!((found as f64 - same).abs() < 35.0, "{found} of the category, {same} expected");
            assert_eq!((found + of(Source::Rewrite), made.missing), (all, 0));
        });
    }
}

#[test]
fn rewritten_queries_that_positives_have_are_preferred() {
    let products: String =
        "id,category,title\n".to_owned() + &(1..=41).map(|id| format!("{id:02},tops,\n")).collect::<String>();
    // Pink and blue are equally frequent, but only pink shirts are asked for.
    let mut log = vec![("red shirts", 0, 2)];
    log.extend((1..21).map(|product| ("pink shirts", product, 2)));
    log.extend((21..41).map(|product| ("blue hats", product, 2)));
    let terms = index(&[("colour", &["red", "blue", "pink"])]);
    let case = Case { terms, ..case(&products, &log, [0.0, 1.0]) };
    let pink = (0..300).filter(|&seed| case.made(seed, |made| made.pairs[1].query == "pink shirts")).count();
    assert!((260..300).contains(&pink), "{pink} of 300");
}
