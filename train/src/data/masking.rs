//! What stage 1 hides of a batch: tokens (15%, of which 80% become `[MASK]`, 10% another token, 10% stay) and patches
//! (half of each image); paper, section 3.4.

use mbsd_spec::text::{TextRow, Tokenizer};
use rand::seq::index;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// How hidden tokens are shared out: `[MASK]` up to the first bound, a random token up to the second, else kept.
const TOKEN_SHARES: [f64; 2] = [0.8, 0.9];
/// The same for patches, where not all of them become the mask vector.
const PATCH_SHARES: [f64; 2] = [0.8, 0.9];

/// What stands in the place of a patch to be predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatchMasking {
    /// Always the mask vector; the paper's.
    MaskVector,
    /// The mask vector (80%), another patch of the same image (10%), or the patch itself (10%); the released code's.
    Mixed,
}

/// How much is hidden, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Masking {
    /// Share of the tokens to predict.
    pub tokens: f64,
    /// Share of an image's patches to predict.
    pub patches: f64,
    /// What stands for them.
    pub patch_masking: PatchMasking,
    /// The `[MASK]` token.
    pub mask_id: u32,
    /// The tokens that may be drawn in the place of another, as ids of the vocabulary.
    pub ordinary: Vec<u32>,
    /// Patches of an image.
    pub patches_per_image: usize,
}

/// What is hidden in a batch, by row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Tokens to predict: row, token, the id that stood there.
    pub tokens: Vec<(usize, usize, u32)>,
    /// Patches to predict: row, patch.
    pub patches: Vec<(usize, usize)>,
    /// Whether each patch, `[rows * patches]`, becomes the mask vector.
    pub masked: Vec<bool>,
    /// The patch of the same batch, `[rows * patches]`, whose vector each takes; its own but for exchanged ones.
    pub source: Vec<i64>,
}

impl Masking {
    /// The ids of a vocabulary that stand for text.
    pub fn ordinary(tokenizer: &Tokenizer) -> Vec<u32> {
        let special =
            [tokenizer.pad_id(), tokenizer.unk_id(), tokenizer.cls_id(), tokenizer.sep_id(), tokenizer.mask_id()];
        (0..tokenizer.vocab_size() as u32).filter(|id| !special.contains(id)).collect()
    }

    /// Hides tokens of the titles, in place, and chooses patches of the rows with an image.
    pub fn hide(&self, texts: &mut [TextRow], has_image: &[bool], random: &mut impl Rng) -> Hidden {
        let mut hidden = Hidden::default();
        for (row, text) in texts.iter_mut().enumerate() {
            let end = text.input_ids.len().saturating_sub(1);
            for (token, id) in text.input_ids.iter_mut().enumerate().take(end).skip(1) {
                if !random.random_bool(self.tokens) {
                    continue;
                }
                hidden.tokens.push((row, token, *id as u32));
                let draw: f64 = random.random();
                if draw < TOKEN_SHARES[0] {
                    *id = i64::from(self.mask_id);
                } else if draw < TOKEN_SHARES[1] && !self.ordinary.is_empty() {
                    *id = i64::from(self.ordinary[random.random_range(0..self.ordinary.len())]);
                }
            }
        }
        let count = self.patches_per_image;
        hidden.masked = vec![false; has_image.len() * count];
        hidden.source = (0..hidden.masked.len() as i64).collect();
        let chosen = (count as f64 * self.patches).round() as usize;
        for (row, _) in has_image.iter().enumerate().filter(|(_, present)| **present) {
            let mut patches = index::sample(random, count, chosen.min(count)).into_vec();
            patches.sort_unstable();
            for patch in patches {
                hidden.patches.push((row, patch));
                let place = row * count + patch;
                let draw: f64 = if self.patch_masking == PatchMasking::MaskVector { 0.0 } else { random.random() };
                if draw < PATCH_SHARES[0] || count == 1 {
                    hidden.masked[place] = true;
                } else if draw < PATCH_SHARES[1] {
                    // Another one: the draw skips the patch itself.
                    let other = random.random_range(0..count - 1);
                    hidden.source[place] = (row * count + other + usize::from(other >= patch)) as i64;
                }
            }
        }
        hidden
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn masking(patch_masking: PatchMasking) -> Masking {
        Masking {
            tokens: 0.15,
            patches: 0.5,
            patch_masking,
            mask_id: 4,
            ordinary: (5..1005).collect(),
            patches_per_image: 16,
        }
    }

    fn texts(rows: usize) -> Vec<TextRow> {
        let mut input_ids = vec![2];
        input_ids.extend(100..130);
        input_ids.push(3);
        (0..rows).map(|_| TextRow { token_type_ids: vec![0; 32], input_ids: input_ids.clone() }).collect()
    }

    #[test]
    fn tokens_are_hidden_in_the_papers_shares() {
        let (mut after, before) = (texts(1000), texts(1000));
        let hidden =
            masking(PatchMasking::MaskVector).hide(&mut after, &[false; 1000], &mut ChaCha8Rng::seed_from_u64(1));
        let count = hidden.tokens.len() as f64;
        assert!((count / 30_000.0 - 0.15).abs() < 0.01, "{count} of 30000");
        let now = |&(row, token, _): &(usize, usize, u32)| after[row].input_ids[token];
        let masks = hidden.tokens.iter().filter(|place| now(place) == 4).count() as f64;
        let kept = hidden.tokens.iter().filter(|place| now(place) == i64::from(place.2)).count() as f64;
        assert!(
            (masks / count - 0.8).abs() < 0.03 && (kept / count - 0.1).abs() < 0.03,
            "{masks} and {kept} of {count}"
        );
        for (row, (after, before)) in after.iter().zip(&before).enumerate() {
            assert_eq!((after.input_ids[0], after.input_ids[31]), (2, 3), "special tokens stay");
            for (token, (&now, &then)) in after.input_ids.iter().zip(&before.input_ids).enumerate() {
                assert!(now == then || hidden.tokens.contains(&(row, token, then as u32)));
            }
        }
        assert!(hidden.patches.is_empty() && !hidden.masked.contains(&true), "no row has an image");
    }

    #[test]
    fn half_of_the_patches_are_hidden_by_the_mask_vector() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let hidden = masking(PatchMasking::MaskVector).hide(&mut [], &[true, false, true], &mut random);
        assert_eq!(hidden.patches.len(), 16);
        assert!(hidden.patches.iter().all(|&(row, patch)| row != 1 && hidden.masked[row * 16 + patch]));
        assert_eq!(hidden.masked.iter().filter(|masked| **masked).count(), 16);
        assert!(hidden.source.iter().copied().eq(0..48));
    }

    #[test]
    fn the_released_code_exchanges_and_keeps_some() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let hidden = masking(PatchMasking::Mixed).hide(&mut [], &[true; 2000], &mut random);
        let count = hidden.patches.len() as f64;
        let masked = hidden.masked.iter().filter(|masked| **masked).count() as f64;
        let exchanged: Vec<_> = hidden.source.iter().zip(0..).filter(|&(&source, place)| source != place).collect();
        assert_eq!(count, 16_000.0);
        assert!((masked / count - 0.8).abs() < 0.02 && (exchanged.len() as f64 / count - 0.1).abs() < 0.02);
        assert!(exchanged.iter().all(|&(&source, place)| source / 16 == place / 16), "of the same image");
    }
}
