//! Questions for graphs of one-way attention: a product is a row of the batch, with its tags beside it.
//!
//! What a tag scores must not hang on what else is in its batch. Products with as many tags of the same padded length go
//! together, so that nothing is padded for another product's sake but titles; and which tags of a product go together, and to what
//! length they are padded, is decided by the product's own tags and the token budget.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use mbsd_spec::text::TextRow;
use mbsd_spec::{NamedTensors, Tensor, Variant, collate_text};

use super::{Row, Scorer};
use crate::job::JobError;
use crate::job::prepare::Asked;

/// Tokens of a usual title. That of a product itself would have tags go together otherwise from product to product.
const USUAL_TITLE: usize = 12;

/// A product and some of its tags, which one row of a batch answers.
struct Unit<'a> {
    product: usize,
    title: Option<&'a TextRow>,
    pixels: Option<&'a [f32]>,
    /// The tags, with their places among all of the product.
    tags: Vec<(usize, &'a TextRow)>,
    /// Tokens that each tag is padded to.
    tag_text: usize,
}

impl Unit<'_> {
    fn title_tokens(&self) -> usize {
        self.title.map_or(0, TextRow::len)
    }
}

impl Scorer<'_> {
    /// As [`Scorer::answer`], with a row for each product and part of its tags.
    pub(super) fn answer_apart(
        &mut self,
        variant: Variant,
        window: &[Row],
        values: &mut [Vec<Vec<f32>>],
    ) -> Result<(), JobError> {
        let image_tokens = self.model.image_tokens(variant);
        // Each part reads the product anew, so that its tags alone may fill a batch.
        let (room, context) = (self.limits.max_tokens, image_tokens + USUAL_TITLE);
        let units = units(window, variant, values, |tags| parts(tags, room, context));
        let mut shapes: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for (place, unit) in units.iter().enumerate() {
            shapes.entry((unit.tags.len(), unit.tag_text)).or_default().push(place);
        }
        for ((tags, tag_text), places) in shapes {
            let tokens = |place: &usize| units[*place].title_tokens() + image_tokens + tags * tag_text;
            let lengths: Vec<usize> = places.iter().map(tokens).collect();
            for batch in self.batches(&lengths) {
                let rows: Vec<&Unit<'_>> = batch.iter().map(|&row| &units[places[row]]).collect();
                let answers = self.run_apart(variant, &rows)?;
                for (unit, logits) in rows.iter().zip(answers) {
                    if logits.len() != tags {
                        let reason = format!("`logits` has {} values a row for {tags} tags", logits.len());
                        return Err(JobError::Contract { graph: variant.to_string(), reason });
                    }
                    for (&(place, _), logit) in unit.tags.iter().zip(logits) {
                        values[unit.product][place] = vec![logit];
                    }
                }
            }
        }
        Ok(())
    }

    /// The logits of each row's tags.
    fn run_apart(&mut self, variant: Variant, rows: &[&Unit<'_>]) -> Result<Vec<Vec<f32>>, JobError> {
        let titles: Vec<&TextRow> = rows.iter().filter_map(|row| row.title).collect();
        let pixels: Vec<&[f32]> = rows.iter().filter_map(|row| row.pixels).collect();
        let mut inputs = if titles.is_empty() { NamedTensors::new() } else { collate_text(&titles) };
        // Titles are all of one segment, which the graph knows.
        inputs.remove("token_type_ids");
        inputs.extend(tag_tensors(rows));
        self.run(variant, inputs, &pixels, rows.len())
    }
}

/// `tag_ids` and `tag_mask`, `[batch, tags, tag_text]`, of rows with as many tags of one padded length.
fn tag_tensors(rows: &[&Unit<'_>]) -> NamedTensors {
    let (tags, text) = rows.first().map_or((0, 0), |row| (row.tags.len(), row.tag_text));
    let shape = vec![rows.len(), tags, text];
    let (mut ids, mut mask) = (vec![0; rows.len() * tags * text], vec![0; rows.len() * tags * text]);
    let all = rows.iter().flat_map(|row| &row.tags);
    for ((ids, mask), (_, tag)) in ids.chunks_exact_mut(text.max(1)).zip(mask.chunks_exact_mut(text.max(1))).zip(all) {
        ids[..tag.len()].copy_from_slice(&tag.input_ids);
        mask[..tag.len()].fill(1);
    }
    NamedTensors::from([
        ("tag_ids".to_owned(), Tensor::I64 { shape: shape.clone(), data: ids }),
        ("tag_mask".to_owned(), Tensor::I64 { shape, data: mask }),
    ])
}

/// The rows of the window that go through a variant. Makes room for their answers in `values`.
fn units<'a>(
    window: &'a [Row],
    variant: Variant,
    values: &mut [Vec<Vec<f32>>],
    parts: impl Fn(&[usize]) -> Vec<Range<usize>>,
) -> Vec<Unit<'a>> {
    let mut units = Vec::new();
    for (product, (row, values)) in window.iter().zip(values).enumerate() {
        let Ok(prepared) = &row.prepared else { continue };
        let (Asked::Apart { title, tags }, true) = (&prepared.asked, prepared.variant == variant) else { continue };
        *values = vec![Vec::new(); tags.len()];
        let mut sorted: Vec<(usize, &TextRow)> = tags.iter().map(Arc::as_ref).enumerate().collect();
        sorted.sort_by_key(|(_, tag)| tag.len());
        let lengths: Vec<usize> = sorted.iter().map(|(_, tag)| tag.len()).collect();
        units.extend(parts(&lengths).into_iter().map(|part| Unit {
            product,
            title: title.as_ref(),
            pixels: prepared.pixels.as_deref(),
            tag_text: lengths[part.end - 1],
            tags: sorted[part].to_vec(),
        }));
    }
    units
}

/// Cuts tags of the given lengths, ascending, into parts of at most `room` tokens, each padded to its longest; at least one tag a
/// part. A further part begins also where padding those before would take more than reading the product anew, which takes
/// `context` tokens.
fn parts(lengths: &[usize], room: usize, context: usize) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (tag, &length) in lengths.iter().enumerate() {
        match parts.last_mut() {
            Some(part)
                if (part.len() + 1).saturating_mul(length) <= room
                    && part.len() * (length - lengths[part.end - 1]) <= context =>
            {
                part.end = tag + 1;
            }
            _ => parts.push(tag..tag + 1),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_is_in_one_part_and_the_budget_holds() {
        assert_eq!(parts(&[3, 3, 4, 4, 9], 12, 60), [0..3, 3..4, 4..5]);
        assert_eq!(parts(&[3, 3, 4, 4, 9], 45, 60).len(), 1, "one part where there is room");
        assert_eq!(parts(&[3, 3, 4, 4, 9], 45, 19), [0..4, 4..5], "the last would add 20 tokens to the others");
        assert_eq!(parts(&[5, 7], 0, 60), [0..1, 1..2], "a tag over the budget goes alone");
        assert_eq!(parts(&[], 10, 60), Vec::<Range<usize>>::new());
    }
}
