//! Which rows make a batch, and which modalities it has.

use mbsd_spec::Variant;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

/// Batches sorted by length together. More would pad less, and tie a batch's rows to one another more.
const POOL: usize = 4;

/// One row to train or evaluate on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Row {
    /// Index of the product.
    pub item: usize,
    /// Index of the tag (match) or query (stage 2).
    pub tag: Option<u32>,
    /// Index of the product it is compared with (alignment).
    pub other: Option<usize>,
    /// 0 or 1 for match, stage 2 and alignment, the class for classification.
    pub label: u32,
}

/// One batch to be assembled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPlan {
    /// Its rows.
    pub rows: Vec<Row>,
    /// Its modalities; one batch, one variant.
    pub variant: Variant,
    /// Decides what is drawn while it is assembled: augmentation, and what stage 1 hides.
    pub seed: u64,
    /// Whether its images are augmented.
    pub augmented: bool,
}

/// Shares of the batches that lack a modality.
#[derive(Debug, Clone, Copy)]
pub struct Removal {
    /// Share of batches without titles.
    pub without_text: f64,
    /// Share of batches without images.
    pub without_image: f64,
}

/// Batches of one epoch: rows shuffled, sorted by length within pools of batches so that little is padded, batches
/// shuffled. `length` gives a row's tokens. With `together`, rows of a product are in one batch side by side, as far as they fit, and
/// products with as many rows are put together.
pub fn epoch_plan(
    rows: Vec<Row>,
    together: bool,
    batch_size: usize,
    removal: Removal,
    length: impl Fn(&Row) -> usize,
    random: &mut impl Rng,
) -> Vec<BatchPlan> {
    let mut groups = groups(rows, if together { batch_size } else { 1 });
    groups.shuffle(random);
    let mut batches: Vec<Vec<Row>> = Vec::new();
    for mut pool in cut(groups, batch_size * POOL) {
        pool.sort_by_key(|group| (group.len(), group.first().map_or(0, &length)));
        batches.extend(cut(pool, batch_size).into_iter().map(|groups| groups.concat()));
    }
    batches.shuffle(random);
    batches
        .into_iter()
        .map(|rows| {
            let draw: f64 = random.random();
            let variant = if draw < removal.without_text {
                Variant::Image
            } else if draw < removal.without_text + removal.without_image {
                Variant::Text
            } else {
                Variant::Full
            };
            BatchPlan { rows, variant, seed: random.random(), augmented: true }
        })
        .collect()
}

/// Rows that stay together: at most so many of a product.
fn groups(mut rows: Vec<Row>, most: usize) -> Vec<Vec<Row>> {
    if most <= 1 {
        return rows.into_iter().map(|row| vec![row]).collect();
    }
    rows.sort_by_key(|row| row.item);
    rows.chunk_by(|a, b| a.item == b.item).flat_map(|rows| rows.chunks(most)).map(<[Row]>::to_vec).collect()
}

/// Consecutive groups of at most `most` rows in all, or a single one.
fn cut(groups: Vec<Vec<Row>>, most: usize) -> Vec<Vec<Vec<Row>>> {
    let mut parts: Vec<Vec<Vec<Row>>> = Vec::new();
    let mut room = 0;
    for group in groups {
        match parts.last_mut() {
            Some(part) if group.len() <= room => {
                room -= group.len();
                part.push(group);
            }
            _ => {
                room = most.saturating_sub(group.len());
                parts.push(vec![group]);
            }
        }
    }
    parts
}

/// Batches of an evaluation: rows sorted by length, not augmented, the same seeds each time. The second value is where each row of the batches
/// stands in `rows`.
pub fn evaluation_plan(
    rows: &[Row],
    variant: Variant,
    batch_size: usize,
    length: impl Fn(&Row) -> usize,
) -> (Vec<BatchPlan>, Vec<usize>) {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&index| length(&rows[index]));
    let plans = order
        .chunks(batch_size)
        .zip(0..)
        .map(|(chunk, seed)| BatchPlan {
            rows: chunk.iter().map(|&index| rows[index]).collect(),
            variant,
            seed,
            augmented: false,
        })
        .collect();
    (plans, order)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn an_epoch_has_every_row_once_and_the_shares_asked_for() {
        let rows: Vec<Row> = (0..20_003).map(|item| Row { item, ..Row::default() }).collect();
        let length = |row: &Row| row.item % 17;
        let removal = Removal { without_text: 0.2, without_image: 0.3 };
        let plan = |seed| epoch_plan(rows.clone(), false, 10, removal, length, &mut ChaCha8Rng::seed_from_u64(seed));
        let batches = plan(1);
        assert_eq!(batches, plan(1));
        assert_ne!(batches, plan(2));
        let mut items: Vec<usize> = batches.iter().flat_map(|batch| batch.rows.iter().map(|row| row.item)).collect();
        items.sort_unstable();
        assert!(items.into_iter().eq(0..rows.len()));
        let share = |variant| batches.iter().filter(|b| b.variant == variant).count() as f64 / batches.len() as f64;
        for (variant, expected) in [(Variant::Image, 0.2), (Variant::Text, 0.3), (Variant::Full, 0.5)] {
            assert!((share(variant) - expected).abs() < 0.04, "{variant}: {}", share(variant));
        }
        let padding = |batch: &BatchPlan| {
            let lengths = batch.rows.iter().map(length);
            lengths.clone().max().unwrap_or(0) - lengths.min().unwrap_or(0)
        };
        let mean = batches.iter().map(padding).sum::<usize>() as f64 / batches.len() as f64;
        // Batches drawn without sorting would differ by about 13 of the 16 tokens.
        assert!(mean < 4.5, "rows of a batch differ by {mean} tokens");
    }

    #[test]
    fn rows_of_a_product_stay_together_where_they_should() {
        let row = |item, tag| Row { item, tag: Some(tag), ..Row::default() };
        let rows: Vec<Row> = (0..4).flat_map(|tag| (0..100).map(move |item| row(item, tag))).collect();
        let removal = Removal { without_text: 0.0, without_image: 0.0 };
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let batches = epoch_plan(rows.clone(), true, 10, removal, |row| row.item, &mut random);
        assert_eq!(batches.len(), 50, "two products of four rows fit");
        for batch in &batches {
            let items: Vec<usize> = batch.rows.iter().map(|row| row.item).collect();
            assert_eq!(items.chunk_by(|a, b| a == b).map(<[usize]>::len).collect::<Vec<_>>(), [4, 4]);
        }
        let mut seen: Vec<Row> = batches.into_iter().flat_map(|batch| batch.rows).collect();
        seen.sort_by_key(|row| (row.tag, row.item));
        assert_eq!(seen, rows);

        // One product with many rows beside many with one.
        let skewed: Vec<Row> = (0..40).map(|tag| row(0, tag)).chain((1..60).map(|item| row(item, 0))).collect();
        let batches = epoch_plan(skewed, true, 16, removal, |_| 1, &mut random);
        assert!(batches.iter().all(|batch| batch.rows.len() <= 16));
        let of_first = |batch: &BatchPlan| batch.rows.iter().filter(|row| row.item == 0).count();
        let padded: usize = batches.iter().filter(|batch| (1..15).contains(&of_first(batch))).count();
        assert!(padded <= 1, "the product with many rows has batches of its own, but for the last of its rows");
    }
}
