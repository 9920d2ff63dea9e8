use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::cell::ColumnType;

/// The products of a file; `row: code` for bad rows.
fn outcome(path: &Path, options: &ProductOptions) -> Vec<String> {
    let text = |product: Result<Product, BadRow>| match product {
        Ok(product) => {
            let image = product.image.as_ref().map_or("-", |image| image.path().unwrap_or("bytes"));
            format!("{}: {} {} {image}", product.row, product.id, product.title.as_deref().unwrap_or("-"))
        }
        Err(bad) => format!("{}: {} {}", bad.row, bad.id.as_deref().unwrap_or("?"), bad.error.code),
    };
    Products::open(path, options).unwrap().map(text).collect()
}

#[test]
fn every_good_row_is_delivered_and_every_bad_one_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    let mut lines = br#"{"id": "a", "title": "red shirt", "image": "a.jpg", "brand": "x"}
{"id": 2, "title": null, "image": "b.jpg"}
{"id": "c", "title": "  ", "image": ""}
{"id": null, "title": "no id", "brand": "y"}
{"id": "", "title": "empty id"}
{"id": 1.5, "title": "fraction"}
{"id": "d", "title": 3}
{"id": "e", "title": "t", "image": {"bytes": "AA=="}}
{"id": "a", "title": "again"}
{"id": "f"
"#
    .to_vec();
    lines.extend_from_slice(b"{\"id\": \"g\", \"title\": \"\xff\"}\n{\"id\": \"h\", \"title\": \"last\"}");
    fs::write(&path, lines).unwrap();
    assert_eq!(
        outcome(&path, &ProductOptions::default()),
        [
            "1: a red shirt a.jpg",
            "2: 2 - b.jpg",
            "3: c - -",
            "4: ? missing_id",
            "5: ? missing_id",
            "6: ? wrong_type",
            "7: d wrong_type",
            "8: e wrong_type",
            "9: a duplicate_id",
            "10: ? invalid_json",
            "11: ? invalid_utf8",
            "12: h last -",
        ]
    );
    let bad = Products::open(&path, &ProductOptions::default()).unwrap().filter_map(Result::err).collect::<Vec<_>>();
    assert_eq!(bad[0].columns, [json!("y")], "a bad row keeps what is known of it");
    assert!(bad.iter().any(|bad| bad.error.message == "row 1 has the id `a` already; this row was left out"));
    let allow = ProductOptions { duplicate_ids: DuplicateIds::Allow, ..ProductOptions::default() };
    assert_eq!(outcome(&path, &allow)[8], "9: a again -");
}

#[test]
fn columns_may_have_other_names_and_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "sku,name,price\n1,shirt,3.5\n2,,\n").unwrap();
    let options =
        ProductOptions { id_column: "sku".to_owned(), title_column: "name".to_owned(), ..ProductOptions::default() };
    assert_eq!(outcome(&path, &options), ["1: 1 shirt -", "2: 2 - -"]);
    let mut products = Products::open(&path, &options).unwrap();
    assert_eq!(products.columns()[..], [Column { name: "price".to_owned(), ty: ColumnType::Text }]);
    assert_eq!(products.next().unwrap().unwrap().columns, [json!("3.5")]);

    let message = |options: &ProductOptions| {
        let text = Products::open(&path, options).unwrap_err().to_string();
        text.split_once("a.csv: ").unwrap().1.to_owned()
    };
    assert_eq!(message(&ProductOptions::default()), "no column `id`; it has: `sku`, `name`, `price`");
    let no_content = ProductOptions { id_column: "sku".to_owned(), ..ProductOptions::default() };
    assert_eq!(message(&no_content), "no column `title`; it has: `sku`, `name`, `price`");
    let keep = ProductOptions { keep: Keep::Named(vec!["brand".to_owned()]), ..options.clone() };
    assert_eq!(message(&keep), "no column `brand`; it has: `sku`, `name`, `price`");
    let none = ProductOptions { keep: Keep::Named(Vec::new()), ..options };
    assert!(Products::open(&path, &none).unwrap().columns().is_empty());
}

#[test]
fn a_file_that_cannot_be_used_is_an_error_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content, message) in [
        ("a.xlsx", &b"x"[..], "use .parquet, .arrow, .jsonl, .csv or .tsv, text also with .gz or .zst"),
        ("a.parquet", b"", "not a Parquet file, or cut short"),
        ("b.parquet", b"<html>", "not a Parquet file, or cut short"),
        ("a.csv", b"", "no column `id`; it has: no columns"),
        ("a.jsonl", b"", "no column `id`; it has: no columns"),
        ("b.jsonl", b"<html>\n", "no column `id`; it has: no columns"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let error = Products::open(&path, &ProductOptions::default()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let missing = Products::open(folder.path().join("no.csv"), &ProductOptions::default()).unwrap_err();
    assert!(missing.to_string().starts_with("cannot read "), "{missing}");
    let path = folder.path().join("c.csv");
    fs::write(&path, "id,title\n").unwrap();
    let options = ProductOptions { images: Some(folder.path().join("no")), ..ProductOptions::default() };
    assert!(Products::open(&path, &options).unwrap_err().to_string().starts_with("the image folder "));
}

#[test]
fn a_title_of_a_megabyte_is_delivered_whole() {
    let folder = tempfile::tempdir().unwrap();
    let title = "衬衫 ".repeat(150_000);
    for name in ["a.jsonl", "a.csv", "a.tsv"] {
        let path = folder.path().join(name);
        let line = match name {
            "a.jsonl" => format!("{}\n", json!({"id": "a", "title": title})),
            "a.csv" => format!("id,title\na,{title}\n"),
            _ => format!("id\ttitle\na\t{title}\n"),
        };
        fs::write(&path, line).unwrap();
        let product = Products::open(&path, &ProductOptions::default()).unwrap().next().unwrap().unwrap();
        assert_eq!(product.title.unwrap().len(), title.len(), "{name}");
    }
}

#[test]
fn image_files_lie_beside_the_input_or_in_the_given_folder() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(folder.path().join("a.jpg"), b"beside").unwrap();
    fs::write(other.join("a.jpg"), b"other").unwrap();
    let path = folder.path().join("a.tsv");
    fs::write(&path, "id\timage\n1\ta.jpg\n2\tb.jpg\n3\t../a.jpg\n").unwrap();
    let read = |options: &ProductOptions| -> Vec<String> {
        let products = Products::open(&path, options).unwrap();
        products
            .map(|product| match product.unwrap().image.unwrap().read() {
                Ok(bytes) => String::from_utf8(bytes.into_owned()).unwrap(),
                Err(error) => error.code.to_owned(),
            })
            .collect()
    };
    assert_eq!(read(&ProductOptions::default()), ["beside", "image_missing", "image_path_refused"]);
    let options = ProductOptions { images: Some(other), ..ProductOptions::default() };
    assert_eq!(read(&options), ["other", "image_missing", "image_path_refused"]);
    let options = ProductOptions { allow_outside: true, ..options };
    assert_eq!(read(&options), ["other", "image_missing", "beside"]);
}

#[test]
fn the_fashion_set_is_read_whole() {
    let Some(data) = std::env::var_os("MBSD_DATA") else {
        println!("skipped: MBSD_DATA is not set");
        return;
    };
    let fashion = Path::new(&data).join("fashion");
    let options = ProductOptions { duplicate_ids: DuplicateIds::Allow, ..ProductOptions::default() };
    for (file, rows) in [
        ("folder-sample/products.jsonl", 300),
        ("match-eval-small.parquet", 4000),
        ("small-60x80/test.parquet", 8257),
        ("large-224/test.parquet", 0),
    ] {
        let products = Products::open(fashion.join(file), &options).unwrap();
        let count = products.row_count().unwrap();
        let mut read = 0;
        for product in products {
            let product = product.unwrap();
            assert!(product.title.is_some(), "{file}: {}", product.id);
            let image = product.image.unwrap();
            assert!(image.read().unwrap().starts_with(b"\xff\xd8"), "{file}: {}", product.id);
            read += 1;
        }
        assert_eq!(read, count, "{file}");
        assert!(rows == 0 || read == rows, "{file}: {read}");
    }
}

/// The forms of the paper's released samples: no header, no id, images by address or by a path of another machine.
#[test]
fn the_papers_forms_are_read_with_given_columns() {
    let folder = tempfile::tempdir().unwrap();
    let text = |id: &str, columns: &[&str]| format!("{id}: {}", columns.join(" "));
    for (content, header, kept, expected) in [
        ("卫衣\ti4/a.jpg\n", &["title", "image"][..], &[][..], text("1", &["卫衣"])),
        (
            "女裤\t短裤 女\ti2/a.jpg\t0\n",
            &["query", "title", "image", "label"],
            &["query", "label"],
            text("1", &["短裤 女", "女裤", "0"]),
        ),
        (
            "款式:开衫款\t毛衣\thttps://x/a.jpg\t1\n",
            &["tag", "title", "image", "label"],
            &["tag", "label"],
            text("1", &["毛衣", "款式:开衫款", "1"]),
        ),
        (
            "邮简（飞天）\ti8/a.jpg\t邮简\n",
            &["title", "image", "class"],
            &["class"],
            text("1", &["邮简（飞天）", "邮简"]),
        ),
    ] {
        let path = folder.path().join("a.tsv");
        fs::write(&path, content).unwrap();
        let options = ProductOptions {
            header: Some(header.iter().map(|&name| name.to_owned()).collect()),
            keep: Keep::Named(kept.iter().map(|&name| name.to_owned()).collect()),
            ids: Ids::Rows(String::new()),
            ..ProductOptions::default()
        };
        let product = |options: &ProductOptions| Products::open(&path, options).unwrap().next().unwrap().unwrap();
        let refused = product(&options);
        let columns: Vec<&str> =
            refused.title.as_deref().into_iter().chain(refused.columns.iter().map(|v| v.as_str().unwrap())).collect();
        assert_eq!(text(&refused.id, &columns), expected);
        let code = refused.image.unwrap().read().unwrap_err().code;
        assert!(matches!(code, "image_missing" | "image_path_refused"), "{code}");
        let dropped = product(&ProductOptions { absent_images: AbsentImages::Drop, ..options });
        assert!(dropped.image.is_none(), "the product counts as one without an image");
    }
}

#[test]
fn a_path_that_may_not_be_read_is_never_dropped_silently() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "id,title,image\n1,a,../secret\n").unwrap();
    let options = ProductOptions { absent_images: AbsentImages::Drop, ..ProductOptions::default() };
    let product = Products::open(&path, &options).unwrap().next().unwrap().unwrap();
    assert_eq!(product.image.unwrap().read().unwrap_err().code, "image_path_refused");
}

/// The released samples themselves.
#[test]
fn the_released_samples_are_read_whole() {
    let Some(data) = std::env::var_os("MBSD_DATA").map(PathBuf::from) else {
        println!("skipped: MBSD_DATA is not set");
        return;
    };
    let samples = data.join("mbsd-paper-samples");
    for (name, header, rows) in [
        ("pretrain_stage1_samples.tsv", &["title", "image"][..], 50),
        ("pretrain_stage2_samples.tsv", &["query", "title", "image", "label"], 50),
        ("finetune_attr_pred_samples1.tsv", &["tag", "title", "image", "label"], 50),
        ("finetune_attr_pred_samples2.tsv", &["tag", "title", "image", "label"], 50),
        ("finetune_clf_samples.tsv", &["title", "image", "class"], 50),
    ] {
        let options = ProductOptions {
            header: Some(header.iter().map(|&name| name.to_owned()).collect()),
            ids: Ids::Rows("row-".to_owned()),
            absent_images: AbsentImages::Drop,
            ..ProductOptions::default()
        };
        let products: Vec<_> = Products::open(samples.join(name), &options).unwrap().map(|row| row.unwrap()).collect();
        assert_eq!(products.len(), rows, "{name}");
        assert!(products.iter().all(|product| product.title.is_some() && product.image.is_none()), "{name}");
    }
    let options = crate::ProductPairOptions {
        header: Some(
            ["source_title", "source_image", "target_title", "target_image", "label"].map(str::to_owned).to_vec(),
        ),
        label_column: Some("label".to_owned()),
        absent_images: AbsentImages::Drop,
        ..crate::ProductPairOptions::default()
    };
    let pairs = crate::ProductPairs::open(samples.join("finetune_ali_samples.tsv"), &options).unwrap();
    let labels: Vec<bool> = pairs.map(|pair| pair.unwrap().label.unwrap()).collect();
    assert_eq!((labels.len(), labels.iter().filter(|&&same| same).count()), (12, 6));
}
