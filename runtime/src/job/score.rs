//! A window of prepared rows through the graphs: grouped by variant, cut into batches, run, and told apart again.

mod one_way;

use std::collections::BTreeMap;

use mbsd_data::{BadRow, Product};
use mbsd_spec::text::TextRow;
use mbsd_spec::{BatchLimits, NamedTensors, RowError, Variant, collate_pixels, collate_text, plan};

use super::JobError;
use super::clock::{Clock, Stage};
use super::model::{Model, Sessions};
use super::prepare::{Asked, Row};
use crate::engine::Session;

/// Graph outputs that jobs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// `logits`: `[batch]`, or `[batch, classes]`.
    Logits,
    /// `pooled`: `[batch, hidden]`.
    Pooled,
}

impl Wanted {
    fn name(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Pooled => "pooled",
        }
    }
}

/// The graph's answer for one product.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The graph that gave it.
    pub variant: Variant,
    /// The values of each of its rows: one row a tag, one row otherwise.
    pub values: Vec<Vec<f32>>,
}

/// One input row and its answer.
#[derive(Debug)]
pub struct Scored {
    /// The row as read, without the bytes of an embedded image.
    pub product: Result<Product, BadRow>,
    /// The answer, or why there is none.
    pub answer: Result<Answer, RowError>,
}

/// One worker's sessions.
pub(super) struct Scorer<'a> {
    model: &'a Model,
    sessions: &'a Sessions<'a>,
    own: BTreeMap<Variant, Box<dyn Session>>,
    wanted: Wanted,
    limits: BatchLimits,
    clock: &'a Clock,
}

/// One row of a batch: text of a product, and its pixels.
struct Unit<'a> {
    product: usize,
    text: Option<&'a TextRow>,
    pixels: Option<&'a [f32]>,
}

impl<'a> Scorer<'a> {
    pub(super) fn new(
        model: &'a Model,
        sessions: &'a Sessions<'a>,
        wanted: Wanted,
        limits: BatchLimits,
        clock: &'a Clock,
    ) -> Self {
        Self { model, sessions, own: BTreeMap::new(), wanted, limits, clock }
    }

    /// Answers a window, in its order.
    pub(super) fn score(&mut self, window: Vec<Row>) -> Result<Vec<Scored>, JobError> {
        let mut values: Vec<Vec<Vec<f32>>> = window.iter().map(|_| Vec::new()).collect();
        for variant in Variant::ENCODERS {
            match self.model.title_position {
                None => self.answer(variant, &window, &mut values)?,
                Some(_) => self.answer_apart(variant, &window, &mut values)?,
            }
        }
        let scored = window.into_iter().zip(values).map(|(row, values)| {
            let answer = row.prepared.and_then(|prepared| {
                if values.iter().flatten().all(|value| value.is_finite()) {
                    Ok(Answer { variant: prepared.variant, values })
                } else {
                    let message = format!("the {} graph gave a value that is not a number", prepared.variant);
                    Err(RowError::new("not_finite", message))
                }
            });
            Scored { product: row.product, answer }
        });
        Ok(scored.collect())
    }

    /// Adds to each product of the window that goes through `variant` the answers to its questions, in their order.
    ///
    /// This is where the K questions about a product become work for a graph: here K rows of the batch, each with the product's text
    /// and pixels in it. Graphs of one-way attention read a product once for all of its questions
    /// ([`Scorer::answer_apart`]).
    fn answer(&mut self, variant: Variant, window: &[Row], values: &mut [Vec<Vec<f32>>]) -> Result<(), JobError> {
        let units = units(window, variant);
        let image_tokens = self.model.image_tokens(variant);
        let lengths: Vec<usize> = units.iter().map(|unit| unit.text.map_or(0, TextRow::len) + image_tokens).collect();
        let mut answers: Vec<Vec<f32>> = vec![Vec::new(); units.len()];
        for batch in self.batches(&lengths) {
            let rows: Vec<&Unit<'_>> = batch.iter().map(|&unit| &units[unit]).collect();
            for (unit, answer) in batch.iter().zip(self.run_sequences(variant, &rows)?) {
                answers[*unit] = answer;
            }
        }
        for (unit, answer) in units.iter().zip(answers) {
            values[unit.product].push(answer);
        }
        Ok(())
    }

    /// Which of the rows of these lengths go together, by their places.
    fn batches(&self, lengths: &[usize]) -> Vec<Vec<usize>> {
        let planned = plan(lengths, self.limits);
        // Rows of a batch are sorted by length.
        let together = |a: &usize, b: &usize| !self.model.equal_lengths || lengths[*a] == lengths[*b];
        planned.iter().flat_map(|batch| batch.chunk_by(together)).map(<[usize]>::to_vec).collect()
    }

    /// The wanted values of each row of one batch.
    fn run_sequences(&mut self, variant: Variant, rows: &[&Unit<'_>]) -> Result<Vec<Vec<f32>>, JobError> {
        let texts: Vec<&TextRow> = rows.iter().filter_map(|row| row.text).collect();
        let pixels: Vec<&[f32]> = rows.iter().filter_map(|row| row.pixels).collect();
        let inputs = if texts.is_empty() { NamedTensors::new() } else { collate_text(&texts) };
        self.run(variant, inputs, &pixels, rows.len())
    }

    /// The wanted values of each row of a batch, from its text inputs and its images.
    fn run(
        &mut self,
        variant: Variant,
        mut inputs: NamedTensors,
        pixels: &[&[f32]],
        rows: usize,
    ) -> Result<Vec<Vec<f32>>, JobError> {
        let session = match self.own.entry(variant) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(self.clock.during(Stage::Load, || self.sessions.take(variant))?)
            }
        };
        if !pixels.is_empty() {
            let size = &self.model.preprocessor;
            let tensor = collate_pixels(pixels, size.height(), size.width())
                .map_err(|error| JobError::Setting(error.to_string()))?;
            inputs.insert("pixel_values".to_owned(), tensor);
        }
        // A graph takes no input that none of its outputs needs.
        inputs.retain(|name, _| session.inputs().iter().any(|input| input.name == *name));
        let outputs = session.run(&inputs)?;
        split(variant, &outputs, self.wanted.name(), rows)
    }
}

impl Drop for Scorer<'_> {
    fn drop(&mut self) {
        for (variant, session) in std::mem::take(&mut self.own) {
            self.sessions.give_back(variant, session);
        }
    }
}

/// The rows of the window that go through a variant; those of one product in the order of its texts.
fn units(window: &[Row], variant: Variant) -> Vec<Unit<'_>> {
    let mut units = Vec::new();
    for (product, row) in window.iter().enumerate() {
        let Ok(prepared) = &row.prepared else { continue };
        if prepared.variant != variant {
            continue;
        }
        let Asked::Sequences(texts) = &prepared.asked else { continue };
        let pixels = prepared.pixels.as_deref();
        if texts.is_empty() {
            units.push(Unit { product, text: None, pixels });
        }
        units.extend(texts.iter().map(|text| Unit { product, text: Some(text), pixels }));
    }
    units
}

/// The rows of an output.
pub(super) fn split(
    graph: Variant,
    outputs: &NamedTensors,
    name: &str,
    rows: usize,
) -> Result<Vec<Vec<f32>>, JobError> {
    let off = |reason: String| JobError::Contract { graph: graph.to_string(), reason };
    let tensor = outputs.get(name).ok_or_else(|| off(format!("it has no output `{name}`")))?;
    let values = tensor.as_f32().ok_or_else(|| off(format!("`{name}` is {}, not float32", tensor.dtype())))?;
    if tensor.shape().first() != Some(&rows) || values.is_empty() {
        return Err(off(format!("`{name}` has shape {:?} for {rows} rows", tensor.shape())));
    }
    Ok(values.chunks_exact(values.len() / rows).map(<[f32]>::to_vec).collect())
}
