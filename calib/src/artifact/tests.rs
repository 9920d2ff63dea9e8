use mbsd_data::ProductOptions;
use mbsd_runtime::engine::EngineOptions;
use mbsd_spec::bundle::QualityMeasured;

use super::*;
use crate::request::Engines;
use crate::rows::{LabelledData, Products};

fn refusals(method: Method, quantized: f64, speedup: f64, lost_rows: usize) -> Vec<String> {
    let quality = QualityMeasured {
        measure: "roc_auc".to_owned(),
        f32: 0.84,
        quantized,
        rows: 100,
        max_abs_diff: 0.1,
        mean_abs_diff: 0.01,
        speedup,
        engine_version: "1".to_owned(),
    };
    let comparison = Comparison { quality, decided_otherwise: 0, points: Vec::new(), lost_rows };
    let made = Made {
        variant: Variant::Full,
        bytes: 0,
        quantized: 1,
        kept: Vec::new(),
        comparisons: vec![(EngineKind::Tract, comparison)],
        ranges: Vec::new(),
        sensitivity: Vec::new(),
    };
    made.refusals(&Request {
        bundle: PathBuf::new(),
        method,
        data: LabelledData {
            products: Products { file: PathBuf::new(), options: ProductOptions::default(), tag_column: String::new() },
            label_column: String::new(),
            pairs: None,
            samples: None,
        },
        variants: None,
        engines: Engines { kinds: Vec::new(), optional: true, options: EngineOptions::default() },
        threads: None,
        weight_bits: WeightBits::Eight,
        keep: Vec::new(),
        max_drop: 0.005,
        sensitivity: false,
        force: false,
        out: PathBuf::new(),
    })
}

#[test]
fn a_graph_is_refused_for_what_it_loses_and_for_what_it_does_not_win() {
    assert_eq!(refusals(Method::PerToken, 0.836, 1.5, 0), [""; 0]);
    assert_eq!(
        refusals(Method::PerToken, 0.83, 0.9, 2),
        [
            "the full graph on tract loses 0.0100 of ROC-AUC (0.8400 to 0.8300), more than 0.005",
            "the full graph on tract has no result for 2 rows that f32 has one for",
            "the full graph on tract is not faster than f32 here (0.90 times as fast)",
        ]
    );
    assert_eq!(refusals(Method::Weights, 0.84, 0.9, 0), [""; 0], "weights alone promise no speed");
}
