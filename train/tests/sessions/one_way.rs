//! Products read once for all of their tags.

use burn::tensor::Device;
use mbsd_spec::config::DEFAULT_TITLE_POSITION;
use mbsd_spec::{Attention, Task, Variant};
use mbsd_train::checkpoint::{State, read_parts};
use mbsd_train::{Run, Span, train};

use crate::catalogue::{Catalogue, alone};

const ONE_WAY: [&str; 4] = [
    "model.attention=one-way",
    "model.title_position=10",
    "model.hidden_dropout_prob=0",
    "model.attention_probs_dropout_prob=0",
];

fn trained(catalogue: &Catalogue, objective: &str, output: &str, changes: &[&str]) -> State {
    let changes: Vec<&str> = ONE_WAY.iter().chain(changes).copied().collect();
    train(&catalogue.run(objective, output, &changes), Span::default(), &[Device::flex()]).unwrap()
}

fn area(state: &State, variant: Variant) -> f64 {
    state.validation[&variant].roc_auc.unwrap()
}

#[test]
fn match_learns_from_several_tags_of_a_product_at_once() {
    let _alone = alone();
    let catalogue = Catalogue::new(600, 240);
    let state = trained(&catalogue, "match", "out", &["training.epochs=8", "match.tags_per_product=3"]);
    let [full, text, image] = Variant::ENCODERS.map(|variant| area(&state, variant));
    assert!(full > 0.9, "full {full}, text {text}, image {image}");
    assert!(full > text + 0.05 && full > image + 0.05, "full {full}, text {text}, image {image}");
    let (config, ..) = read_parts(&catalogue.path("out/best")).unwrap();
    assert_eq!(config.attention, Attention::OneWay { title_position: 10 });
    mbsd_net::load(catalogue.path("out/best"), &config, Some(Task::Match), &Device::flex()).unwrap();
}

#[test]
fn stage_2_teaches_in_this_form_and_tasks_go_on_in_it() {
    let _alone = alone();
    let catalogue = Catalogue::new(300, 90);
    // Stage 1 has no queries: its weights are those of either form.
    train(&catalogue.run("stage1", "stage1", &["training.epochs=1"]), Span::default(), &[Device::flex()]).unwrap();
    let from = |stage: &str| format!("model.checkpoint={}", catalogue.path(&format!("{stage}/best")).display());
    let state = trained(&catalogue, "stage2", "stage2", &["training.epochs=12", &from("stage1")]);
    let [full, text, image] = Variant::ENCODERS.map(|variant| area(&state, variant));
    assert!(full > 0.8 && full > text + 0.05 && full > image + 0.05, "full {full}, text {text}, image {image}");
    // What the checkpoint says of attention goes on without being said again.
    let changes = ["training.epochs=3", "model.hidden_dropout_prob=0", &from("stage2")];
    let started = train(&catalogue.run("match", "match", &changes), Span::default(), &[Device::flex()]).unwrap();
    let nothing = trained(&catalogue, "match", "nothing", &["training.epochs=3"]);
    let [started, nothing] = [started, nothing].map(|state| area(&state, Variant::Full));
    assert!(started > nothing + 0.1, "{started} from stage 2, {nothing} from nothing");
    let (config, ..) = read_parts(&catalogue.path("match/best")).unwrap();
    assert_eq!(config.attention, Attention::OneWay { title_position: 10 });
    let changes = ["training.epochs=1", "model.attention=full", &from("stage2")];
    train(&catalogue.run("match", "full", &changes), Span::default(), &[Device::flex()]).unwrap();
    assert_eq!(read_parts(&catalogue.path("full/best")).unwrap().0.attention, Attention::Full);
}

#[test]
fn what_it_does_not_fit_is_refused() {
    let catalogue = Catalogue::new(10, 10);
    let refused = |task: &str, changes: &[&str]| {
        let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
        Run::from_toml(&catalogue.toml(task, "out"), "run.toml", &changes).unwrap_err().to_string()
    };
    let one_way = "model.attention=one-way";
    assert!(refused("classification", &[one_way, "model.title_position=10"]).contains("no tags or queries"));
    assert!(refused("match", &[one_way, "model.architecture=vilt"]).contains("one-way attention is a form of MBSD"));
    assert!(refused("match", &["model.title_position=10"]).contains("with `attention` one-way only"));
    let places = refused("match", &[one_way]);
    assert!(places.contains(&format!("{DEFAULT_TITLE_POSITION} is not between 3 and 13")), "{places}");
    assert!(refused("match", &["match.tags_per_product=0"]).contains("0 is too few"));
    let pairs =
        refused("match", &["match.tags=x", "match.tags_per_product=2", "match.pairs=x", "match.validation_pairs=x"]);
    assert!(pairs.contains("tags and attributes, or pairs"), "{pairs}");
    let error = refused("match", &[one_way, "model.title_position=10", "data.max_text_tokens=11"]);
    assert!(error.contains("data.max_text_tokens") && error.contains("leaves room for a tag and a title"), "{error}");
    let run = catalogue.run("match", "out", &[one_way, "model.title_position=4"]);
    let error = train(&run, Span::default(), &[Device::flex()]).unwrap_err().to_string();
    assert!(error.contains("`Colour:") && error.contains("the limit is 4"), "before anything is trained: {error}");
}
