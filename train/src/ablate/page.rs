//! `ablation.html`: every row's seeds, mean and difference to the row it is compared with, and Figure 7, as pictures.

use std::fmt::Write as _;

use mbsd_spec::Variant;

use super::plot::{self, Dot, Line};
use super::results::{Measure, Results};
use super::table::{Table, legend, tables};

pub(super) fn page(results: &Results) -> String {
    let mut body = String::new();
    for &measure in &results.measures {
        for variant in Variant::ENCODERS {
            let lines = lines(results, variant, measure);
            if lines.iter().any(|line| !line.values.is_empty()) {
                let heading = format!("{}, {variant} input", measure.title());
                let _ = write!(body, "<section><h2>{heading}</h2>{}</section>", plot::rows(&lines));
            }
        }
        let lines = distilled(results, measure);
        if lines.iter().any(|line| !line.values.is_empty()) {
            let heading = format!("{} of models fine-tuned with one modality (Figure 7)", measure.title());
            let _ = write!(body, "<section><h2>{heading}</h2>{}</section>", plot::rows(&lines));
        }
    }
    let _ = write!(body, "{}", tables(results).iter().map(html).collect::<String>());
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>Ablation</title><style>\
         body{{font:15px/1.5 system-ui,sans-serif;margin:0 auto;padding:1.2rem;max-width:64rem;color:#222;background:#fff}}\
         h1{{font-size:1.3rem;margin:0 0 .2rem}}h2{{font-size:1rem;margin:.4rem 0}}p{{margin:.2rem 0 1rem;color:#555}}\
         section{{border:1px solid #ddd;border-radius:6px;padding:.4rem .8rem;margin:0 0 1rem;overflow-x:auto}}\
         svg{{width:100%;height:auto;min-width:40rem}}text{{font:12px system-ui,sans-serif;fill:#333}}.note{{font-size:10px;fill:#777}}.rule{{stroke:#e4e4e4}}\
         .zero{{stroke:#888;stroke-dasharray:3 3}}table{{border-collapse:collapse;font-size:13px}}\
         td,th{{padding:.2rem .6rem;border-bottom:1px solid #e4e4e4;text-align:left;white-space:nowrap}}</style>\
         <h1>Ablation</h1><p>{} In the plots, small dots are seeds, large dots means, lines the 95% t-intervals of the \
         means; on the right, of the paired differences. A line that reaches the edge of a panel goes on beyond it.</p>{body}</html>\n",
        legend(results)
    )
}

/// The rows that are fine-tuned with both modalities.
fn lines(results: &Results, variant: Variant, measure: Measure) -> Vec<Line> {
    let rows = results.rows.iter().filter(|row| row.uni_modal.is_none());
    rows.map(|row| {
        let summary = row.summary(variant, measure);
        Line {
            name: row.name.clone(),
            note: row.against.as_ref().map(|other| format!("against {other}")),
            values: row.values(variant, measure).into_iter().flatten().collect(),
            mean: summary.map(|summary| Dot::of(&summary.value)),
            difference: summary.and_then(|summary| summary.difference.as_ref()).map(Dot::of),
        }
    })
    .collect()
}

fn distilled(results: &Results, measure: Measure) -> Vec<Line> {
    let mut lines = Vec::new();
    for pair in results.uni_modal.iter().filter(|pair| pair.measure == measure) {
        let values = |name: &String| {
            let row = results.rows.iter().find(|row| row.name == *name);
            row.map(|row| row.values(pair.modality, measure)).unwrap_or_default().into_iter().flatten().collect()
        };
        let [with, without] = &pair.rows;
        lines.push(Line {
            name: format!("{} only, without SDMI", pair.modality),
            note: None,
            values: values(without),
            mean: pair.without.as_ref().map(Dot::of),
            difference: None,
        });
        lines.push(Line {
            name: format!("{} only, with SDMI", pair.modality),
            note: None,
            values: values(with),
            mean: pair.with.as_ref().map(Dot::of),
            difference: pair.difference.as_ref().map(Dot::of),
        });
    }
    lines
}

fn html(table: &Table) -> String {
    let cells = |tag: &str, cells: &[String]| -> String {
        let cell = |text: &String| format!("<{tag}>{}</{tag}>", plot::escape(text));
        format!("<tr>{}</tr>", cells.iter().map(cell).collect::<String>())
    };
    let lines: String = table.lines.iter().map(|line| cells("td", line)).collect();
    let head = cells("th", &table.columns);
    format!("<section><h2>{}</h2><table>{head}{lines}</table></section>", table.heading)
}
