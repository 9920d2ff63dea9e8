//! Pairs of products: given, and found.

use super::*;

#[test]
fn every_product_is_encoded_once_however_many_pairs_it_is_in() {
    let folder = Folder::new();
    folder.write(
        "in.jsonl",
        r#"{"id": 1, "title": "red"}
{"id": 2, "title": "red"}
{"id": 3, "title": "blue shoe"}
{"id": 4, "title": "red", "image": "bad.bmp"}
{"id": 5, "title": 5}
{"id": 6, "title": "in no pair"}
{"id": 1, "title": "shoe"}
"#,
    );
    let pairs = folder.write("pairs.csv", "source,target\n1,2\n1,3\n3,1\n2,2\n1,4\n5,1\n9,1\n,1\n");
    let (model, log) = model(Task::Alignment, &ALL, Behaviour::default());
    let options = AlignOptions { pairs: &pairs, columns: Default::default(), threshold: None };
    let summary = folder.run("in.jsonl", "out.jsonl", ONE, |job| align(&model, &options, job)).unwrap();
    let rows = lines(&folder.read("out.jsonl"));
    assert_eq!(rows[0]["match"], true);
    assert!((rows[0]["score"].as_f64().unwrap() - 0.731_058).abs() < 1e-5);
    assert_eq!(rows[1]["match"], false);
    assert_eq!(rows[1]["score"], rows[2]["score"]);
    assert_eq!(rows[3]["match"], true);
    let errors: Vec<&str> = rows[4..].iter().map(|row| row["error"].as_str().unwrap()).collect();
    assert!(errors[0].starts_with("image_not_an_image: product `4`: "), "{errors:?}");
    assert_eq!(errors[1], "wrong_type: product `5`: `title` is not text");
    assert_eq!(errors[2], "unknown_product: the products have no usable row with the id `9`");
    assert_eq!(errors[3], "missing_id: `source` is null or empty");
    assert_eq!((summary.rows, summary.scored, summary.products), (8, 4, 3));
    assert_eq!(log.rows(Variant::Text), 3, "products 1, 2 and 3, once each");
}

#[test]
fn same_products_are_found_and_grouped() {
    let folder = Folder::new();
    // Vectors are (sum of tokens, 0, pixel, tokens): equal titles have equal ones, and the fake head calls only those the same.
    let titles = ["red", "blue shoe", "red", "a b a b", "blue shoe", "red", "shirt shirt shirt"];
    let rows: String =
        (titles.iter().zip(1..)).map(|(title, id)| format!("{{\"id\": {id}, \"title\": \"{title}\"}}\n")).collect();
    folder.write("in.jsonl", &format!("{rows}{{\"id\": 8, \"title\": 8}}\n"));
    let (model, log) = model(Task::Alignment, &ALL, Behaviour::default());
    let groups = folder.path("groups.jsonl");
    let options = NeighbourOptions { neighbours: 3, min_similarity: -1.0, threshold: None, groups: Some(&groups) };
    let summary = folder.run("in.jsonl", "out.jsonl", ONE, |job| find_pairs(&model, &options, job)).unwrap();
    let pairs = lines(&folder.read("out.jsonl"));
    let same: Vec<String> = pairs
        .iter()
        .filter(|row| row["match"] == true)
        .map(|row| format!("{}={}", row["source"].as_str().unwrap(), row["target"].as_str().unwrap()))
        .collect();
    assert_eq!(same, ["1=3", "1=6", "2=5", "3=6"]);
    assert!(pairs.iter().filter(|row| row["match"] == true).all(|row| row["similarity"].as_f64().unwrap() > 0.999_999));
    let bad = pairs.last().unwrap();
    assert_eq!((bad["source"].as_str(), bad["target"].as_str()), (Some("8"), None));
    assert!(bad["error"].as_str().unwrap().starts_with("wrong_type"), "{bad}");
    let groups = lines(&folder.read("groups.jsonl"));
    let brief: Vec<(&str, &str, i64)> = groups
        .iter()
        .map(|row| (row["id"].as_str().unwrap(), row["group"].as_str().unwrap(), row["size"].as_i64().unwrap()))
        .collect();
    assert_eq!(brief, [("1", "1", 3), ("3", "1", 3), ("6", "1", 3), ("2", "2", 2), ("5", "2", 2)]);
    assert_eq!((summary.products, log.rows(Variant::Text)), (7, 7), "each product is encoded once");
    let error = folder.run("in.jsonl", "groups.jsonl", ONE, |job| find_pairs(&model, &options, job)).unwrap_err();
    assert!(error.to_string().contains("is the output as well"), "{error}");
    let before = folder.read("in.jsonl");
    let over = folder.path("in.jsonl");
    let everything =
        folder.run_to("*.jsonl", Destination::File(&over), ONE, |job| find_pairs(&model, &options, job).unwrap_err());
    assert!(everything.to_string().contains("would be read as one"), "{everything}");
    assert!(folder.read("in.jsonl") == before, "nothing is written over the input");
    let none = NeighbourOptions { min_similarity: 0.999_999, groups: None, ..options };
    folder.run("in.jsonl", "few.jsonl", ONE, |job| find_pairs(&model, &none, job)).unwrap();
    assert_eq!(lines(&folder.read("few.jsonl")).len(), 5);
}
