//! Multi-head attention between projected tokens, softmax(q kT / sqrt(d) + mask) v, and its gradients.
//!
//! A token's heads lie side by side, as projections give them: nothing is permuted, and what one head of one row needs
//! stays in the cache.

use rayon::prelude::*;

use super::math::{add_scaled, exp_of_negative, sum_of, vectorized};

/// Sizes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Tokens that ask.
    pub(super) queries: usize,
    /// Tokens that answer.
    pub(super) tokens: usize,
    /// Heads.
    pub(super) heads: usize,
    /// Values of a token.
    pub(super) width: usize,
}

impl Sizes {
    fn head(self) -> usize {
        self.width / self.heads
    }

    fn scale(self) -> f32 {
        1.0 / (self.head() as f32).sqrt()
    }

    /// Elements of one row: what asks, what answers, and the probabilities.
    fn of_row(self) -> [usize; 3] {
        [self.queries * self.width, self.tokens * self.width, self.heads * self.queries * self.tokens]
    }
}

/// `[batch, queries, width]`, and the probabilities, `[batch, heads, queries, tokens]`, for [`backward`].
///
/// `query` is `[batch, queries, width]`, `key` and `value` are `[batch, tokens, width]`; `mask`, `[batch, tokens]` or empty,
/// is added to the scores.
pub(super) fn forward(query: &[f32], key: &[f32], value: &[f32], mask: &[f32], sizes: Sizes) -> [Vec<f32>; 2] {
    let [asking, answering, scores] = sizes.of_row();
    let batch = query.len() / asking;
    let (mut output, mut probabilities) = (vec![0.0; query.len()], vec![0.0; batch * scores]);
    let rows = query.par_chunks(asking).zip(key.par_chunks(answering)).zip(value.par_chunks(answering)).enumerate();
    output.par_chunks_mut(asking).zip(probabilities.par_chunks_mut(scores)).zip(rows).for_each(
        |((output, probabilities), (row, ((query, key), value)))| {
            let mask = mask.get(row * sizes.tokens..(row + 1) * sizes.tokens).unwrap_or_default();
            vectorized(
                #[inline(always)]
                || row_forward(query, key, value, mask, sizes, output, probabilities),
            );
        },
    );
    [output, probabilities]
}

#[inline(always)]
fn row_forward(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    mask: &[f32],
    sizes: Sizes,
    output: &mut [f32],
    probabilities: &mut [f32],
) {
    let Sizes { queries, tokens, width, .. } = sizes;
    let mut columns = vec![0.0; sizes.head() * tokens];
    for (head, probabilities) in probabilities.chunks_exact_mut(queries * tokens).enumerate() {
        let part = head * sizes.head()..(head + 1) * sizes.head();
        transpose(key, width, part.clone(), &mut columns);
        for (place, scores) in probabilities.chunks_exact_mut(tokens).enumerate() {
            let of_place = place * width + part.start..place * width + part.end;
            scores.fill(0.0);
            for (&query, column) in query[of_place.clone()].iter().zip(columns.chunks_exact(tokens)) {
                add_scaled(scores, query * sizes.scale(), column);
            }
            for (score, mask) in scores.iter_mut().zip(mask) {
                *score += mask;
            }
            softmax(scores);
            let output = &mut output[of_place];
            for (&probability, value) in scores.iter().zip(value.chunks_exact(width)) {
                add_scaled(output, probability, &value[part.clone()]);
            }
        }
    }
}

/// Gradients of query, key and value, from the probabilities of [`forward`] and the gradient of its output.
pub(super) fn backward(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    probabilities: &[f32],
    gradient: &[f32],
    sizes: Sizes,
) -> [Vec<f32>; 3] {
    let [asking, answering, scores] = sizes.of_row();
    let mut of_query = vec![0.0; query.len()];
    let mut of_key = vec![0.0; key.len()];
    let mut of_value = vec![0.0; value.len()];
    let outputs =
        of_query.par_chunks_mut(asking).zip(of_key.par_chunks_mut(answering)).zip(of_value.par_chunks_mut(answering));
    let inputs = query.par_chunks(asking).zip(key.par_chunks(answering)).zip(value.par_chunks(answering));
    let computed = probabilities.par_chunks(scores).zip(gradient.par_chunks(asking));
    outputs.zip(inputs).zip(computed).for_each(|((outputs, inputs), (probabilities, gradient))| {
        let ((of_query, of_key), of_value) = outputs;
        let ((query, key), value) = inputs;
        vectorized(
            #[inline(always)]
            || row_backward([query, key, value], probabilities, gradient, sizes, [of_query, of_key, of_value]),
        );
    });
    [of_query, of_key, of_value]
}

#[inline(always)]
fn row_backward(
    [query, key, value]: [&[f32]; 3],
    probabilities: &[f32],
    gradient: &[f32],
    sizes: Sizes,
    [of_query, of_key, of_value]: [&mut [f32]; 3],
) {
    let Sizes { queries, tokens, width, .. } = sizes;
    let mut columns = vec![0.0; sizes.head() * tokens];
    let mut of_scores = vec![0.0; tokens];
    for (head, probabilities) in probabilities.chunks_exact(queries * tokens).enumerate() {
        let part = head * sizes.head()..(head + 1) * sizes.head();
        transpose(value, width, part.clone(), &mut columns);
        for (place, probabilities) in probabilities.chunks_exact(tokens).enumerate() {
            let of_place = place * width + part.start..place * width + part.end;
            let gradient = &gradient[of_place.clone()];
            of_scores.fill(0.0);
            for (&gradient, column) in gradient.iter().zip(columns.chunks_exact(tokens)) {
                add_scaled(&mut of_scores, gradient, column);
            }
            let mean = sum_of(&of_scores, probabilities, |gradient, probability| gradient * probability);
            for (score, probability) in of_scores.iter_mut().zip(probabilities) {
                *score = probability * (*score - mean) * sizes.scale();
            }
            let (query, of_query) = (&query[of_place.clone()], &mut of_query[of_place]);
            let answers =
                key.chunks_exact(width).zip(of_key.chunks_exact_mut(width)).zip(of_value.chunks_exact_mut(width));
            let weights = of_scores.iter().zip(probabilities);
            for (((key, of_key), of_value), (&of_score, &probability)) in answers.zip(weights) {
                add_scaled(of_query, of_score, &key[part.clone()]);
                add_scaled(&mut of_key[part.clone()], of_score, query);
                add_scaled(&mut of_value[part.clone()], probability, gradient);
            }
        }
    }
}

/// One head's part of tokens, `[tokens, width]`, as `[part, tokens]`.
#[inline(always)]
fn transpose(tokens: &[f32], width: usize, part: std::ops::Range<usize>, columns: &mut [f32]) {
    let count = tokens.len() / width;
    for (place, token) in tokens.chunks_exact(width).enumerate() {
        for (column, &value) in columns.chunks_exact_mut(count).zip(&token[part.clone()]) {
            column[place] = value;
        }
    }
}

#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in scores.iter_mut() {
        *score = exp_of_negative(*score - largest);
    }
    let scale = 1.0 / sum_of(scores, scores, |score, _| score);
    for score in scores {
        *score *= scale;
    }
}
