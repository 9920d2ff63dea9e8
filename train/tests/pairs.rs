//! `mbsd-train pairs` over small made-up logs in Chinese and English, from the command line to the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mbsd_data::{FieldOptions, Fields, integer};
use mbsd_train::pairs::{Terms, normalized};

const COLOURS: [&str; 4] = ["black", "red", "green", "navy blue"];
const SLEEVES: [&str; 3] = ["长袖", "短袖", "无袖"];
const KINDS: [&str; 3] = ["连衣裙", "衬衫", "T恤"];

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_mbsd-train"));
        Command::new(program).arg("pairs").args(arguments).current_dir(self.0.path()).output().unwrap()
    }

    /// The summary of a run that succeeds.
    fn summary(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The message of a run that fails, with exit code 1.
    fn error(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    }

    /// Rows (product, query, label, source) of a file of pairs.
    fn pairs(&self, name: &str) -> Vec<(String, String, u64, String)> {
        let required = ["product", "query", "label", "source"].map(str::to_owned).to_vec();
        let fields = Fields::open(self.path(name), &FieldOptions { required, ..FieldOptions::default() }).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        fields
            .map(|row| {
                let values = row.unwrap().values;
                (text(&values[0]), text(&values[1]), integer(&values[2]).unwrap(), text(&values[3]))
            })
            .collect()
    }
}

/// A catalogue of Chinese and English clothes, and who bought them with which query.
fn shop(folder: &Folder) -> Vec<(String, String, u64)> {
    let mut products = String::from("id,category,title,colour\n");
    let mut log = Vec::new();
    for number in 0..240 {
        let id = format!("p{number}");
        if number % 2 == 0 {
            let (sleeve, kind) = (SLEEVES[number / 2 % 3], KINDS[number / 6 % 3]);
            products += &format!("{id},女装,2022新款{sleeve}{kind}女,\n");
            log.push((format!("{sleeve}{kind}"), id.clone(), 3));
            log.push((format!("{kind} {sleeve} 女"), id.clone(), number as u64 % 5));
        } else {
            let colour = COLOURS[number / 2 % 4];
            products += &format!("{id},shirts,Puma Shirt No {number},{colour}\n");
            log.push((format!("{colour} men's shirts"), id.clone(), 2));
            log.push((format!("{} Shirts", colour.to_uppercase()), id.clone(), number as u64 % 4));
        }
    }
    folder.write("products.csv", &products);
    folder.write("terms.json", r#"{"袖": ["长袖", "短袖", "无袖"], "品类": ["连衣裙", "衬衫", "T恤"]}"#);
    log
}

fn write_log(folder: &Folder, name: &str, log: &[(String, String, u64)]) {
    let rows: String = log.iter().map(|(query, product, buyers)| format!("{query}\t{product}\t{buyers}\n")).collect();
    folder.write(name, &format!("query\tproduct\tbuyers\n{rows}"));
}

const SHOP: [&str; 6] = ["--products", "products.csv", "--terms", "terms.json", "--terms-from-columns", "colour"];

#[test]
fn a_shops_log_becomes_balanced_pairs_without_known_falsehoods() {
    let folder = Folder::new();
    let log = shop(&folder);
    write_log(&folder, "log.tsv", &log);
    let summary = folder.summary(&[&SHOP[..], &["--log", "log.tsv", "--output", "pairs.parquet"]].concat());
    let pairs = folder.pairs("pairs.parquet");

    let bought: BTreeSet<(String, String)> = (log.iter().filter(|(_, _, buyers)| *buyers >= 2))
        .map(|(query, product, _)| (product.clone(), normalized(query)))
        .collect();
    let behaviours: BTreeSet<(String, String)> =
        log.iter().map(|(query, product, _)| (product.clone(), normalized(query))).collect();
    let of = |source: &str| pairs.iter().filter(|pair| pair.3 == source).collect::<Vec<_>>();
    let positives: BTreeSet<(String, String)> =
        of("purchase").into_iter().map(|(product, query, ..)| (product.clone(), query.clone())).collect();
    assert_eq!(positives, bought, "positives are what two people or more bought");
    let (same, rewritten) = (of("same_category"), of("rewrite"));
    assert_eq!(same.len() + rewritten.len(), positives.len(), "one negative for each positive");
    assert!(same.len().abs_diff(rewritten.len()) < positives.len() / 4, "{} {}", same.len(), rewritten.len());

    let is_chinese = |product: &str| product[1..].parse::<usize>().unwrap() % 2 == 0;
    let asked: BTreeSet<&String> = positives.iter().map(|(_, query)| query).collect();
    let own_colour = |product: &str| COLOURS[product[1..].parse::<usize>().unwrap() / 2 % 4];
    let mut seen = BTreeSet::new();
    for (product, query, label, source) in &pairs {
        assert!(seen.insert((product, query)), "{product} {query}: twice");
        assert_eq!(*label == 1, source == "purchase");
        if *label == 1 {
            continue;
        }
        assert!(!behaviours.contains(&(product.clone(), query.clone())), "{product} {query}");
        let words = |text: &str| -> BTreeSet<char> { text.chars().filter(|c| !c.is_whitespace()).collect() };
        if is_chinese(product) {
            let known = behaviours.iter().filter(|(other, _)| other == product);
            for (_, behaviour) in known {
                assert!(!words(query).is_subset(&words(behaviour)), "{product}: {query} is in {behaviour}");
            }
        } else {
            assert!(!query.contains(own_colour(product)), "{product} is {query}");
        }
        match source.as_str() {
            "same_category" => {
                assert!(asked.contains(query), "{query} is nobody's");
                assert_eq!(query.is_ascii(), !is_chinese(product), "{product} {query}: another category");
            }
            "rewrite" => {
                let one_term_off = |positive: &String| {
                    let sets: [&[&str]; 3] = [&SLEEVES, &["连衣裙", "衬衫", "t恤"], &COLOURS];
                    sets.iter().any(|terms| {
                        let pairs = terms.iter().flat_map(|old| terms.iter().map(move |new| (old, new)));
                        pairs.into_iter().any(|(old, new)| old != new && positive.replacen(old, new, 1) == *query)
                    })
                };
                let own = positives.iter().filter(|(other, _)| other == product);
                assert!(own.map(|(_, query)| query).any(one_term_off), "{product}: {query}");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(summary["positives"], positives.len());
    assert_eq!(summary["same_category"], same.len());
    assert_eq!(summary["rewrite"], rewritten.len());
    assert_eq!(summary["log_rows"], log.len());
    assert_eq!(summary["terms"], serde_json::json!({"colour": 4, "品类": 3, "袖": 3}));
    assert_eq!(summary["positives_without_negative"], 0);
}

#[test]
fn the_data_and_the_seed_decide_everything() {
    let folder = Folder::new();
    let mut log = shop(&folder);
    write_log(&folder, "log.tsv", &log);
    let run = |log: &str, output: &str, more: &[&str]| {
        folder.summary(&[&SHOP[..], &["--log", log, "--output", output], more].concat());
        std::fs::read(folder.path(output)).unwrap()
    };
    let first = run("log.tsv", "first.jsonl", &[]);
    assert_eq!(run("log.tsv", "again.jsonl", &[]), first);
    assert_ne!(run("log.tsv", "seed.jsonl", &["--seed", "1"]), first);
    log.reverse();
    // Two rows of one query and product are one.
    let split = log.iter().position(|(_, _, buyers)| *buyers >= 2).unwrap();
    log[split].2 -= 1;
    let part = (log[split].0.clone(), log[split].1.clone(), 1);
    log.push(part);
    write_log(&folder, "turned.tsv", &log);
    let products = std::fs::read_to_string(folder.path("products.csv")).unwrap();
    let (header, rows) = products.split_once('\n').unwrap();
    let turned: Vec<&str> = rows.lines().rev().collect();
    folder.write("products.csv", &format!("{header}\n{}\n", turned.join("\n")));
    assert_eq!(run("turned.tsv", "turned.jsonl", &[]), first, "the order of rows says nothing");
    assert_eq!(run("log.tsv", "a.parquet", &[]), run("turned.tsv", "b.parquet", &[]));
    let threads = |threads: &str, output: &str| {
        let program = Path::new(env!("CARGO_BIN_EXE_mbsd-train"));
        let arguments = [&["pairs"][..], &SHOP, &["--log", "log.tsv", "--output", output]].concat();
        let mut command = Command::new(program);
        command.args(arguments).env("RAYON_NUM_THREADS", threads).current_dir(folder.0.path());
        assert!(command.output().unwrap().status.success());
        std::fs::read(folder.path(output)).unwrap()
    };
    assert_eq!(threads("1", "one.jsonl"), threads("3", "three.jsonl"));
}

#[test]
fn numbers_of_negatives_can_be_set() {
    let folder = Folder::new();
    let log = shop(&folder);
    write_log(&folder, "log.tsv", &log);
    let counts = |more: &[&str]| {
        let arguments = [&SHOP[..], &["--log", "log.tsv", "--output", "pairs.jsonl"], more].concat();
        let summary = folder.summary(&arguments);
        ["positives", "same_category", "rewrite"].map(|key| summary[key].as_u64().unwrap())
    };
    let [positives, same, rewritten] = counts(&["--same-category", "1", "--rewrite", "1"]);
    assert_eq!(same + rewritten, 2 * positives, "one of each kind");
    assert_eq!(counts(&["--same-category", "1", "--rewrite", "0"])[1..], [positives, 0]);
    assert_eq!(counts(&["--same-category", "0", "--rewrite", "1"])[1..], [0, positives]);
    assert_eq!(counts(&["--min-buyers", "4"])[0], log.iter().filter(|row| row.2 >= 4).count() as u64);
}

#[test]
fn a_catalogue_without_a_log_takes_its_attributes() {
    let folder = Folder::new();
    let mut products = String::new();
    for number in 0..200 {
        let colour = ["Black", "Red", "Multi", "Navy Blue"][number % 4];
        let gender = ["Men", "Women", "Unisex"][number % 3];
        let kind = ["Shirts", "Jeans"][number / 12 % 2];
        products += &format!(
            "{{\"id\": {number}, \"title\": null, \"colour\": \"{colour}\", \"gender\": \"{gender}\", \"kind\": \"{kind}\", \"group\": \"g\"}}\n"
        );
    }
    folder.write("products.jsonl", &products);
    folder.write("words.json", r#"{"gender": {"Unisex": ["men", "women"]}, "colour": {"Multi": ""}}"#);
    let summary = folder.summary(&[
        "--products",
        "products.jsonl",
        "--category-column",
        "group",
        "--log-from",
        "attributes",
        "--query",
        "{colour} {gender} {kind}",
        "--query",
        "{gender} {kind}",
        "--words",
        "words.json",
        "--terms-from-columns",
        "colour,gender,kind",
        "--save-terms",
        "terms.json",
        "--output",
        "pairs.parquet",
    ]);
    let pairs = folder.pairs("pairs.parquet");
    let positives = pairs.iter().filter(|pair| pair.2 == 1).count();
    assert_eq!(pairs.len(), 2 * positives);
    assert_eq!(summary["positives_without_negative"], 0);
    for (product, query, label, source) in &pairs {
        let number: usize = product.parse().unwrap();
        let words: BTreeSet<&str> = query.split(' ').collect();
        let says = |terms: &[&str]| terms.iter().any(|term| words.contains(term));
        let agrees = [
            !says(&["men", "women"]) || number % 3 == 2 || words.contains(["men", "women"][number % 3]),
            words.contains(["shirts", "jeans"][number / 12 % 2]),
            match number % 4 {
                2 => !says(&["black", "red", "blue"]),
                of => !says(&["black", "red", "blue"]) || words.contains(["black", "red", "", "navy"][of]),
            },
        ];
        assert_eq!(agrees == [true; 3], *label == 1, "{product}: {query} ({source})");
        assert!(
            !(number % 4 == 2 && source == "same_category" && says(&["black", "red", "blue"])),
            "{product}: {query}"
        );
    }
    let terms = Terms::read(&folder.path("terms.json")).unwrap();
    let expected =
        BTreeMap::from([("colour", 3), ("gender", 2), ("kind", 2)].map(|(ty, count)| (ty.to_owned(), count)));
    assert_eq!(terms.counts(), expected);
}

#[test]
fn files_without_a_header_and_annotated_titles_are_taken() {
    let folder = Folder::new();
    let titles: String = (0..4)
        .map(|_| "{\"title\": \"t\", \"entities\": [{\"type\": \"HCCX\", \"text\": \"毛衣\"}, {\"type\": \"HCCX\", \"text\": \"跑鞋\"}]}\n")
        .collect();
    folder.write("titles.jsonl", &titles);
    folder.write("log.tsv", "女毛衣\t1\t5\n男跑鞋\t2\t5\n");
    folder.write("products.tsv", "1\t\t\n2\t\t\n");
    let summary = folder.summary(&[
        "--products",
        "products.tsv",
        "--products-header",
        "id,title,image",
        "--log",
        "log.tsv",
        "--log-header",
        "query,product,buyers",
        "--terms-from-titles",
        "titles.jsonl",
        "--same-category",
        "0",
        "--rewrite",
        "1",
        "--output",
        "pairs.jsonl",
    ]);
    assert_eq!(summary["rewrite"], 2);
    let rewritten: Vec<String> = folder.pairs("pairs.jsonl").into_iter().filter(|p| p.2 == 0).map(|p| p.1).collect();
    assert_eq!(rewritten, ["女跑鞋", "男毛衣"]);
}

#[test]
fn bad_rows_are_named_and_too_many_are_an_error() {
    let folder = Folder::new();
    let log = shop(&folder);
    write_log(&folder, "log.tsv", &log);
    let mut content = std::fs::read_to_string(folder.path("log.tsv")).unwrap();
    content += "\tp1\t2\nshirts\tp1\tmany\nshirts\tnobody\t2\n";
    folder.write("log.tsv", &content);
    let arguments = [&SHOP[..], &["--log", "log.tsv", "--output", "pairs.jsonl"]].concat();
    let summary = folder.summary(&arguments);
    assert_eq!((&summary["bad_log_rows"], &summary["unknown_products"]), (&2.into(), &1.into()));
    assert_eq!(summary["bad_rows"][0], "log row 481: missing_query: `query` is null or empty");
    let plain = String::from_utf8(folder.run(&arguments).stderr).unwrap();
    assert!(plain.contains("left out: log row 482: invalid_count: `buyers` is not an integer"), "{plain}");
    let earlier = std::fs::read(folder.path("pairs.jsonl")).unwrap();
    let error = folder.error(&[&arguments[..], &["--max-bad-rows", "0"]].concat());
    assert!(error.contains("log.tsv: 2 of 483 rows cannot be used") && error.contains("log row 481"), "{error}");
    assert_eq!(std::fs::read(folder.path("pairs.jsonl")).unwrap(), earlier, "the earlier file stays");
}

#[test]
fn what_does_not_fit_together_is_said() {
    let folder = Folder::new();
    write_log(&folder, "log.tsv", &shop(&folder));
    folder.write("strange.tsv", "query\tproduct\tbuyers\nshirts\tx1\t2\n");
    folder.write("single.tsv", "query\tproduct\tbuyers\nshirts\tp1\t1\n");
    folder.write("words.json", r#"{"gender": {"Unisex": "men"}}"#);
    let products = ["--products", "products.csv"];
    for (arguments, message) in [
        (&["--log", "log.tsv", "--output", "a.jsonl"][..], "rewriting needs typed terms: give --terms"),
        (&["--log", "log.tsv", "--rewrite", "0", "--output", "a.csv"], "use .parquet or .jsonl"),
        (&["--log", "log.tsv", "--rewrite=-1", "--output", "a.jsonl"], "--rewrite -1: it is not between"),
        (
            &["--log", "log.tsv", "--rewrite", "0", "--min-buyers", "0", "--output", "a.jsonl"],
            "clicks are no positives",
        ),
        (
            &["--log", "log.tsv", "--rewrite", "0", "--category-column", "kind", "--output", "a.jsonl"],
            "no column `kind`; it has: `id`",
        ),
        (&["--log", "log.tsv", "--rewrite", "0", "--buyers-column", "n", "--output", "a.jsonl"], "no column `n`"),
        (
            &["--log", "strange.tsv", "--rewrite", "0", "--output", "a.jsonl"],
            "none of its products, such as `x1`, is an id of products.csv",
        ),
        (&["--log", "single.tsv", "--rewrite", "0", "--output", "a.jsonl"], "lower --min-buyers"),
        (
            &["--log", "log.tsv", "--rewrite", "0", "--words", "words.json", "--output", "a.jsonl"],
            "the column `gender` is in no --query",
        ),
        (
            &["--log-from", "attributes", "--query", "{colour", "--rewrite", "0", "--output", "a.jsonl"],
            "a brace is not closed",
        ),
        (
            &["--log", "log.tsv", "--terms", "terms.json", "--term-types", "size", "--output", "a.jsonl"],
            "the dictionary has the types",
        ),
        (&["--log", "log.jsonl", "--rewrite", "0", "--output", "a.jsonl"], "cannot read log.jsonl"),
    ] {
        let error = folder.error(&[&products[..], arguments].concat());
        assert!(error.contains(message), "{arguments:?}: {error}");
        assert!(!folder.path("a.jsonl").exists());
    }
    folder.write("log.jsonl", "{\"query\": \"q\", \"product\": \"p1\", \"buyers\": 2}\n");
    let error =
        folder.error(&["--products", "products.csv", "--log", "log.jsonl", "--rewrite", "0", "--output", "log.jsonl"]);
    assert!(error.contains("is an input file as well"), "{error}");
    let usage = folder.run(&["--products", "products.csv", "--output", "a.jsonl"]);
    assert_eq!(usage.status.code(), Some(2), "a log or --log-from is needed");
}

/// The command that the documentation gives, on the real catalogue.
#[test]
fn the_fashion_catalogue_becomes_balanced_pairs() {
    let Some(data) = std::env::var_os("MBSD_DATA").map(PathBuf::from) else {
        println!("skipped: MBSD_DATA is not set");
        return;
    };
    let folder = Folder::new();
    let products = data.join("fashion/small-60x80/validation.parquet");
    let words = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/fashion-words.json");
    let summary = folder.summary(&[
        "--products",
        products.to_str().unwrap(),
        "--category-column",
        "subCategory",
        "--log-from",
        "attributes",
        "--query",
        "{baseColour} {gender} {articleType}",
        "--query",
        "{gender} {articleType}",
        "--query",
        "{baseColour} {articleType}",
        "--words",
        words.to_str().unwrap(),
        "--terms-from-columns",
        "baseColour,gender,articleType",
        "--output",
        "pairs.parquet",
    ]);
    let count = |key: &str| summary[key].as_u64().unwrap();
    assert_eq!(count("product_rows"), 4103);
    assert!(count("positives") > 10_000, "{summary}");
    assert_eq!(count("positives"), count("same_category") + count("rewrite"));
    assert!(count("same_category").abs_diff(count("rewrite")) < count("positives") / 20, "{summary}");
}

/// Annotated titles and queries of a real shop: a query counts as bought with the products whose titles hold it.
#[test]
fn real_chinese_titles_and_queries_become_pairs() {
    let Some(data) = std::env::var_os("MBSD_DATA").map(PathBuf::from) else {
        println!("skipped: MBSD_DATA is not set");
        return;
    };
    let folder = Folder::new();
    let (mut products, mut titles) = (String::from("id,category,title\n"), Vec::new());
    let annotated = data.join("taobao-titles-ner/train.jsonl");
    for (number, line) in std::fs::read_to_string(&annotated).unwrap().lines().enumerate() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let title: String = row["title"].as_str().unwrap().chars().filter(|c| !"\",".contains(*c)).collect();
        products += &format!("p{number},all,{title}\n");
        titles.push(title);
    }
    folder.write("products.csv", &products);
    // Parts of titles of four to eight characters, and whose they are.
    let mut parts: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (number, title) in titles.iter().enumerate() {
        let characters: Vec<char> = title.chars().collect();
        for length in 4..=8 {
            for part in characters.windows(length) {
                parts.entry(part.iter().collect()).or_default().insert(number);
            }
        }
    }
    let mut log = BTreeSet::new();
    for name in ["train.query.tsv", "dev.query.tsv"] {
        let text = std::fs::read_to_string(data.join("taobao-queries").join(name)).unwrap();
        for query in text.lines().filter_map(|line| line.split_once('\t')).map(|(_, query)| query.replace(' ', "")) {
            log.extend(parts.get(&query).into_iter().flatten().map(|number| (query.clone(), format!("p{number}"), 2)));
        }
    }
    let log: Vec<(String, String, u64)> = log.into_iter().collect();
    write_log(&folder, "log.tsv", &log);
    let annotated = annotated.display().to_string();
    let arguments = [
        "--products",
        "products.csv",
        "--log",
        "log.tsv",
        "--terms-from-titles",
        &annotated,
        "--min-term-count",
        "3",
        "--output",
        "pairs.jsonl",
    ];
    let summary = folder.summary(&arguments);
    assert!(log.len() > 100 && summary["bad_log_rows"] == 0, "{} rows: {summary}", log.len());
    let pairs = folder.pairs("pairs.jsonl");
    let of = |source: &str| pairs.iter().filter(|pair| pair.3 == source).count();
    assert_eq!(of("purchase"), log.len());
    let (same, rewritten) = (of("same_category"), of("rewrite"));
    assert!(same > log.len() / 4 && rewritten > log.len() / 20, "{same} and {rewritten} for {}: {summary}", log.len());
    for (product, query, label, _) in pairs.iter().filter(|pair| pair.2 == 0) {
        let title = normalized(&titles[product[1..].parse::<usize>().unwrap()]);
        assert!(!title.contains(query.as_str()), "{product} {query} {label}: {title}");
    }
}

#[test]
fn a_log_that_was_cut_is_an_error() {
    let folder = Folder::new();
    let log = shop(&folder);
    let rows = |times: usize| (0..times).flat_map(|_| &log).cloned().collect::<Vec<_>>();
    write_log(&folder, "log.tsv", &rows(60));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut encoder, &std::fs::read(folder.path("log.tsv")).unwrap()).unwrap();
    let packed = encoder.finish().unwrap();
    std::fs::write(folder.path("cut.tsv.gz"), &packed[..packed.len() * 9 / 10]).unwrap();
    let arguments = ["--log", "cut.tsv.gz", "--max-bad-rows", "0.9", "--output", "pairs.jsonl"];
    let error = folder.error(&[&SHOP[..], &arguments[..]].concat());
    assert!(error.contains("cut.tsv.gz: row ") && error.contains("cannot be read from here on"), "{error}");
    assert!(!folder.path("pairs.jsonl").exists());
}
