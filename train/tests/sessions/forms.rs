//! Rows that hold all that belongs to them, such as those of the paper's released samples: no header, no ids.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use mbsd_spec::Variant;
use mbsd_train::{Run, Span, TrainError, train};

use crate::catalogue::alone;

/// Of each form: the objective, the columns, and the table of the run file.
const FORMS: [(&str, &str, &[&str], &str); 6] = [
    ("pretrain_stage1_samples.tsv", "stage1", &["title", "image"], ""),
    (
        "pretrain_stage2_samples.tsv",
        "stage2",
        &["query", "title", "image", "label"],
        "[stage2]\nquery_column = 'query'",
    ),
    (
        "finetune_attr_pred_samples1.tsv",
        "match",
        &["tag", "title", "image", "same"],
        "[match]\ntag_column = 'tag'\nlabel_column = 'same'",
    ),
    ("finetune_attr_pred_samples2.tsv", "match", &["tag", "title", "image", "label"], "[match]\ntag_column = 'tag'"),
    (
        "finetune_clf_samples.tsv",
        "classification",
        &["title", "image", "class"],
        "[classification]\nlabel_column = 'class'",
    ),
    (
        "finetune_ali_samples.tsv",
        "alignment",
        &["a_title", "a_image", "b_title", "b_image", "label"],
        "[alignment]\nsource_columns = ['a_title', 'a_image']\ntarget_columns = ['b_title', 'b_image']",
    ),
];

fn run(file: &Path, output: &Path, objective: &str, columns: &[&str], table: &str, more: &str) -> Run {
    let (file, output) = (file.display(), output.display());
    let toml = format!(
        "objective = '{objective}'\noutput = '{output}'\nseed = 5\n\
         [model]\nimage_size = 32\npatch_size = 16\nhidden_size = 64\nnum_hidden_layers = 1\nnum_attention_heads = 2\n\
         intermediate_size = 64\ninitializer_range = 0.12\nmax_position_embeddings = 64\n\
         [tokenizer]\nvocab_size = 300\n\
         [data]\ntrain = '{file}'\nvalidation = '{file}'\nids = 'rows'\nheader = {columns:?}\n{more}\n{table}\n\
         [optimizer]\nname = 'adamw'\nlearning_rate = 1e-3\n[training]\nepochs = 1\nbatch_size = 4\n"
    );
    Run::from_toml(&toml, "run.toml", &[]).unwrap()
}

/// Eight rows of a form, with images beside the file.
fn write(folder: &Path, name: &str, columns: &[&str]) -> PathBuf {
    let cell = |column: &str, row: usize| match column {
        "query" => ["wool hat", "silk scarf"][row % 2].to_owned(),
        "tag" => ["Colour:red", "Colour:blue"][row % 2].to_owned(),
        "label" | "same" => (row / 2 % 2).to_string(),
        "class" => ["hat", "scarf"][row % 2].to_owned(),
        image if image.ends_with("image") => format!("i{}/{image}-{row}.png", row % 3),
        title => format!("{title} of product {row}"),
    };
    let mut lines = String::new();
    for row in 0..8 {
        let cells: Vec<String> = columns.iter().map(|column| cell(column, row)).collect();
        for path in cells.iter().filter(|cell| cell.ends_with(".png")) {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            image::RgbImage::from_pixel(8, 8, image::Rgb([30 * row as u8; 3])).save(path).unwrap();
        }
        lines += &format!("{}\n", cells.join("\t"));
    }
    let path = folder.join(name);
    std::fs::write(&path, lines).unwrap();
    path
}

#[test]
fn each_of_the_papers_forms_is_trained_on() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for (name, objective, columns, table) in FORMS {
        let path = write(folder.path(), name, columns);
        let output = folder.path().join(format!("{name}-out"));
        let state =
            train(&run(&path, &output, objective, columns, table, ""), Span::default(), &[Device::flex()]).unwrap();
        assert_eq!((state.step, state.validation[&Variant::Full].rows), (2, 8), "{name}: two batches of eight rows");
        if objective != "stage1" {
            assert_eq!(state.validation[&Variant::Image].rows, 8, "{name}: all images are read");
        }
    }
}

#[test]
fn rows_without_a_label_or_an_image_are_named() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for (name, objective, columns, table) in FORMS.into_iter().filter(|form| form.2.contains(&"label")) {
        let path = write(folder.path(), name, columns);
        let text = std::fs::read_to_string(&path).unwrap().replacen("\t1\n", "\tmaybe\n", 1);
        std::fs::write(&path, text).unwrap();
        let output = folder.path().join(format!("{name}-out"));
        let trained = |more: &str| {
            let run = run(&path, &output, objective, columns, table, more);
            train(&run, Span::default(), &[Device::flex()])
        };
        let error = trained("").unwrap_err();
        assert!(matches!(error, TrainError::BadRows { bad: 1, .. }), "{name}: {error}");
        assert!(error.to_string().contains("none of 0, 1, false, true"), "{name}: {error}");
        let state = trained("max_bad_rows = 0.2").unwrap();
        assert_eq!(state.validation[&Variant::Full].rows, 7, "{name}");
    }
    let (name, objective, columns, table) = FORMS[5];
    let path = write(folder.path(), name, columns);
    std::fs::remove_file(folder.path().join("i1/b_image-1.png")).unwrap();
    let output = folder.path().join("absent-out");
    let trained =
        |more: &str| train(&run(&path, &output, objective, columns, table, more), Span::default(), &[Device::flex()]);
    let error = trained("").unwrap_err().to_string();
    assert!(error.contains("target-2") && error.contains("b_image-1.png"), "{error}");
    let state = trained("absent_images = 'drop'").unwrap();
    let rows = |variant| state.validation[&variant].rows;
    assert_eq!((rows(Variant::Full), rows(Variant::Image)), (8, 7), "the product counts as one without an image");
}

/// A Parquet or JSON table of pairs may have a column of the usual name for ids.
#[test]
fn a_label_is_found_by_its_name() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (name, objective, _, table) = FORMS[5];
    let columns = ["id", "a_title", "a_image", "b_title", "b_image", "label"];
    let path = write(folder.path(), name, &columns);
    // Ids that are no labels.
    let output = folder.path().join("out");
    let run = run(&path, &output, objective, &columns, table, "");
    let state = train(&run, Span::default(), &[Device::flex()]).unwrap();
    assert_eq!(state.validation[&Variant::Full].rows, 8);
}

/// The released samples themselves, whose images cannot be had.
#[test]
fn the_released_samples_are_trained_on() {
    let Some(data) = std::env::var_os("MBSD_DATA").map(PathBuf::from) else {
        println!("skipped: MBSD_DATA is not set");
        return;
    };
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for (name, objective, columns, table) in FORMS {
        let path = data.join("mbsd-paper-samples").join(name);
        let output = folder.path().join(name);
        let run = run(&path, &output, objective, columns, table, "absent_images = 'drop'");
        let state = train(&run, Span::default(), &[Device::flex()]).unwrap();
        let rows = if objective == "alignment" { 12 } else { 50 };
        assert_eq!(state.validation[&Variant::Full].rows, rows, "{name}");
    }
}
