//! The demo's report: one HTML file that needs nothing beside it.

mod chart;
mod html;
mod style;

use std::fmt::Write as _;
use std::time::Duration;

use crate::catalogue::Product;
use crate::catalogue::attributes::{Attribute, Evidence};
use crate::workspace::time;
use html::{base64, escape};

/// What one variant did on one engine.
#[derive(Debug, Clone)]
pub(crate) struct Measurement {
    /// `full`, `text` or `image`.
    pub(crate) variant: &'static str,
    /// `tract` or `ort-cpu`.
    pub(crate) engine: &'static str,
    /// ROC-AUC over all questions.
    pub(crate) auc: f64,
    /// ROC-AUC of each attribute's questions.
    pub(crate) by_attribute: Vec<(&'static Attribute, f64)>,
    /// Questions (a product and a tag) answered in a second.
    pub(crate) rows_per_second: f64,
    /// Largest difference of a logit from the trained model's, as the bundle's manifest records it.
    pub(crate) parity: Parity,
}

/// What a manifest says of an engine's agreement with Burn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parity {
    /// Largest absolute difference.
    Measured(f64),
    /// Why there is none.
    NotMeasured(String),
}

impl Parity {
    /// `3.6e-7`, or what there is instead.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Measured(difference) => format!("{difference:.1e}"),
            Self::NotMeasured(reason) => reason.clone(),
        }
    }
}

/// What the model said of a product.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answer {
    /// The graph that was asked.
    pub(crate) variant: String,
    /// Tags and their probabilities.
    pub(crate) tags: Vec<(String, f64)>,
}

/// Products of a whole tagging run in a second.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Throughput {
    /// The engine.
    pub(crate) engine: &'static str,
    /// Products in a second, decoding and writing included.
    pub(crate) products_per_second: f64,
}

/// All that the report shows.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// Held-out products with what was said of them.
    pub(crate) products: Vec<(&'a Product, Answer)>,
    /// Variant by engine.
    pub(crate) measurements: Vec<Measurement>,
    /// Whole tagging runs, by engine.
    pub(crate) throughput: Vec<Throughput>,
    /// Products learnt from.
    pub(crate) trained_on: usize,
    /// How many tags there are.
    pub(crate) tags: usize,
    /// Steps and the time each took.
    pub(crate) times: Vec<(&'static str, Duration)>,
    /// The machine, in words.
    pub(crate) machine: String,
    /// What was left out, in words.
    pub(crate) notes: Vec<String>,
    /// Commands to go on with, and what each is for.
    pub(crate) next: Vec<(&'static str, String)>,
}

/// Products shown.
const SHOWN: usize = 18;

impl Report<'_> {
    /// The whole page.
    pub(crate) fn html(&self) -> String {
        let mut page = String::new();
        let _ = write!(
            page,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>MBSD demo</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
            style::CSS
        );
        self.header(&mut page);
        self.products(&mut page);
        self.quality(&mut page);
        self.engines(&mut page);
        self.going_on(&mut page);
        page.push_str("</main>\n</body>\n</html>\n");
        page
    }

    fn header(&self, page: &mut String) {
        let total: Duration = self.times.iter().map(|(_, duration)| *duration).sum();
        let _ = write!(
            page,
            "<header>\n<h1>Products in, tags out</h1>\n<p>A small MBSD model, trained from nothing on {} made-up products, \
             compiled to ONNX and asked about {} products it had not seen. {} on {}.</p>\n",
            self.trained_on,
            self.products.len(),
            time(total),
            escape(&self.machine)
        );
        for note in &self.notes {
            let _ = writeln!(page, "<p class=\"note\">{}</p>", escape(note));
        }
        page.push_str("</header>\n");
    }

    fn products(&self, page: &mut String) {
        let _ = write!(
            page,
            "<section>\n<h2>Held-out products</h2>\n<p>For each attribute the likeliest of its tags, with its \
             probability, out of {} tags. A product without a picture or without a title is answered by the graph for what \
             it has; what its evidence cannot tell is set in grey.</p>\n<div class=\"grid\">\n",
            self.tags
        );
        for (product, answer) in self.products.iter().take(SHOWN) {
            card(page, product, answer);
        }
        page.push_str("</div>\n</section>\n");
    }

    fn quality(&self, page: &mut String) {
        page.push_str(
            "<section>\n<h2>What each graph knows</h2>\n<p>ROC-AUC of each attribute: how often a true tag scores above \
             another value of the same attribute. 0.5 is chance, which is right where a graph cannot see the \
             evidence.</p>\n",
        );
        let first = self.measurements.first().map(|m| m.engine);
        let shown: Vec<&Measurement> = self.measurements.iter().filter(|m| Some(m.engine) == first).collect();
        page.push_str(&chart::by_attribute(&shown));
        page.push_str("</section>\n");
    }

    fn engines(&self, page: &mut String) {
        page.push_str(
            "<section>\n<h2>Variants and engines</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>Graph</th>\
             <th>Engine</th><th class=\"n\">ROC-AUC</th><th class=\"n\">Questions/s</th>\
             <th class=\"n\">Difference from Burn</th></tr></thead>\n<tbody>\n",
        );
        for m in &self.measurements {
            let _ = writeln!(
                page,
                "<tr><td><span class=\"badge {0}\">{0}</span></td><td>{1}</td><td class=\"n\">{2:.3}</td><td \
                 class=\"n\">{3:.0}</td><td class=\"n\">{4}</td></tr>",
                m.variant,
                m.engine,
                m.auc,
                m.rows_per_second,
                escape(&m.parity.text())
            );
        }
        page.push_str(
            "</tbody></table></div>\n<p>A question is one product and one tag. The difference is the largest absolute one \
             of any output from the trained model's, recorded in the bundle when it was exported.</p>\n<ul>\n",
        );
        for run in &self.throughput {
            let _ = writeln!(
                page,
                "<li><code>mbsd tag</code> with {}: {:.1} products/s, each with all {} tags, from files to \
                 file.</li>",
                run.engine, run.products_per_second, self.tags
            );
        }
        page.push_str("</ul>\n<table class=\"times\"><caption>Where the time went</caption><tbody>\n");
        for (step, duration) in &self.times {
            let _ = writeln!(page, "<tr><td>{}</td><td class=\"n\">{}</td></tr>", escape(step), time(*duration));
        }
        page.push_str("</tbody></table>\n</section>\n");
    }

    fn going_on(&self, page: &mut String) {
        page.push_str("<section>\n<h2>How to go on</h2>\n");
        for (what, command) in &self.next {
            let _ = writeln!(page, "<p>{}</p>\n<pre>{}</pre>", escape(what), escape(command));
        }
        page.push_str("</section>\n");
    }
}

/// A product with the likeliest tag of each of its attributes.
fn card(page: &mut String, product: &Product, answer: &Answer) {
    page.push_str("<article>\n");
    match &product.image {
        Some(jpeg) => {
            let _ = writeln!(
                page,
                "<img src=\"data:image/jpeg;base64,{}\" alt=\"Picture of {}\" width=\"96\" height=\"96\">",
                base64(jpeg),
                product.id
            );
        }
        None => page.push_str("<div class=\"blank\">no picture</div>\n"),
    }
    let title = product.title.as_deref().map_or("<i>no title</i>".to_owned(), escape);
    let _ = writeln!(
        page,
        "<div class=\"head\"><h3>{title}</h3><span class=\"id\">{}</span> <span class=\"badge {1}\">{1}</span></div>\n<ul \
         class=\"tags\">",
        product.id,
        escape(&answer.variant)
    );
    for &(attribute, value) in &product.attributes {
        let Some((tag, probability)) = likeliest(attribute, answer) else { continue };
        let truth = attribute.values[value].name;
        let said = tag.strip_prefix(attribute.name).and_then(|rest| rest.strip_prefix(':')).unwrap_or(tag);
        let right = said == truth;
        let class = if !knowable(product, attribute) {
            "dim"
        } else if right {
            "right"
        } else {
            "wrong"
        };
        let mark = if right { "✓".to_owned() } else { format!("✗ {}", escape(truth)) };
        let _ = writeln!(
            page,
            "<li class=\"{class}\"><span class=\"tag\">{}:<b>{}</b></span><span class=\"mark\">{mark}</span><span \
             class=\"p\">{probability:.2}</span><span class=\"bar\" style=\"--p:{:.1}%\"></span></li>",
            escape(attribute.name),
            escape(said),
            probability * 100.0
        );
    }
    page.push_str("</ul>\n</article>\n");
}

fn likeliest<'a>(attribute: &Attribute, answer: &'a Answer) -> Option<(&'a str, f64)> {
    answer
        .tags
        .iter()
        .filter(|(tag, _)| tag.split_once(':').is_some_and(|(name, _)| name == attribute.name))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(tag, probability)| (tag.as_str(), *probability))
}

/// Whether a product shows or says the attribute at all.
pub(crate) fn knowable(product: &Product, attribute: &Attribute) -> bool {
    match attribute.evidence {
        Evidence::Seen => product.image.is_some(),
        Evidence::Read => product.title.is_some(),
    }
}

/// Of the attributes that products show or say, the share whose likeliest tag is the true one.
pub(crate) fn accuracy(products: &[(&Product, Answer)]) -> f64 {
    let (mut right, mut all) = (0, 0);
    for (product, answer) in products {
        for &(attribute, value) in product.attributes.iter().filter(|(attribute, _)| knowable(product, attribute)) {
            all += 1;
            let truth = format!("{}:{}", attribute.name, attribute.values[value].name);
            right += usize::from(likeliest(attribute, answer).is_some_and(|(tag, _)| tag == truth));
        }
    }
    f64::from(right as u32) / f64::from(all.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::attributes::{COLOUR, SEASON};

    fn measurement(engine: &'static str, variant: &'static str) -> Measurement {
        Measurement {
            variant,
            engine,
            auc: 0.9126,
            by_attribute: vec![(&COLOUR, 0.97), (&SEASON, 0.51)],
            rows_per_second: 812.4,
            parity: Parity::Measured(3.6e-7),
        }
    }

    fn product() -> Product {
        let mut product = Product::make(1, 0).unwrap();
        product.title = Some("A <b>bold</b> & \"quoted\" 夏季".to_owned());
        product
    }

    fn answer(product: &Product, right: bool) -> Answer {
        let tags = product
            .attributes
            .iter()
            .flat_map(|&(attribute, value)| {
                let other = (value + 1) % attribute.values.len();
                let scores = if right { [0.9, 0.2] } else { [0.2, 0.9] };
                [value, other]
                    .into_iter()
                    .zip(scores)
                    .map(move |(v, score)| (format!("{}:{}", attribute.name, attribute.values[v].name), score))
            })
            .collect();
        Answer { variant: "full".to_owned(), tags }
    }

    #[test]
    fn the_page_is_whole_self_contained_and_escaped() {
        let product = product();
        let mut bare = product.clone();
        (bare.image, bare.title) = (None, None);
        let report = Report {
            products: vec![(&product, answer(&product, true)), (&bare, Answer::default())],
            measurements: vec![measurement("tract", "full"), measurement("tract", "text")],
            throughput: vec![Throughput { engine: "tract", products_per_second: 31.25 }],
            trained_on: 10,
            tags: 34,
            times: vec![("train", Duration::from_secs(61))],
            machine: "2 cores".to_owned(),
            notes: vec!["no <library>".to_owned()],
            next: vec![("Do", "mbsd tag --bundle a&b".to_owned())],
        };
        let page = report.html();
        for part in [
            "A &lt;b&gt;bold&lt;/b&gt; &amp; &quot;quoted&quot; 夏季",
            "no &lt;library&gt;",
            "a&amp;b",
            "0.913",
            "3.6e-7",
            "no picture",
            "no title",
        ] {
            assert!(page.contains(part), "the page lacks {part}");
        }
        for outside in ["http:", "https:", "<script", "<link"] {
            assert!(!page.contains(outside), "the page reaches for {outside}");
        }
        for element in ["section", "article", "div", "ul", "li", "table", "tr", "td", "svg", "p", "main"] {
            let count = |text: &str| page.matches(text).count();
            let opened = count(&format!("<{element}>")) + count(&format!("<{element} "));
            assert_eq!(opened, count(&format!("</{element}>")), "<{element}> is not closed");
        }
    }

    #[test]
    fn accuracy_counts_what_a_product_shows_or_says() {
        let whole = product();
        assert_eq!(accuracy(&[(&whole, answer(&whole, true))]), 1.0);
        assert_eq!(accuracy(&[(&whole, answer(&whole, false))]), 0.0);
        let mut blind = whole.clone();
        blind.image = None;
        let mut said = answer(&whole, true);
        said.tags.retain(|(tag, _)| !tag.starts_with("Colour:"));
        assert_eq!(accuracy(&[(&blind, said.clone())]), 1.0, "colour cannot be known without a picture");
        assert!(accuracy(&[(&whole, said)]) < 1.0);
    }
}
