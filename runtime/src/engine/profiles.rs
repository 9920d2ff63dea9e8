//! Shape profiles: for which batch sizes and text lengths TensorRT builds an engine.

use std::collections::BTreeMap;

use mbsd_spec::bundle::{DimSpec, TensorSpec};

/// The smallest, the usual and the largest value of a symbol such as `batch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Smallest.
    pub min: usize,
    /// What the engine is tuned for.
    pub opt: usize,
    /// Largest.
    pub max: usize,
}

/// Extents by symbol.
pub type SymbolExtents = BTreeMap<String, Extent>;

/// The shortest bucket of [`TokenBuckets::doubling`]: a tag and a short title.
const SHORTEST: usize = 16;

/// Tokens of a usual tag, `[CLS]` and `[SEP]` included.
const USUAL_TAG: usize = 6;

/// Text lengths that batches are cut by, and the tokens a batch may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBuckets {
    /// The longest text of each bucket, in tokens, ascending.
    pub text: Vec<usize>,
    /// Tokens of a batch, text and image together.
    pub budget: usize,
    /// Tokens an image takes; 0 for a graph without images.
    pub image_tokens: usize,
    /// Rows of a batch, at most.
    pub rows: usize,
    /// Tokens of a tag, at most, where a row is a product with its tags apart; 0 where it is one sequence.
    pub tag_tokens: usize,
}

/// A profile that cannot be built.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// An input has a symbol without an extent.
    #[error("no extent is given for `{symbol}` of input `{input}`")]
    Unknown {
        /// The symbol.
        symbol: String,
        /// An input that has it.
        input: String,
    },
    /// An extent is empty or out of order.
    #[error("the extent of `{symbol}` must be 1 <= min <= opt <= max")]
    Order {
        /// The symbol.
        symbol: String,
    },
    /// Token buckets are missing or not ascending, or allow no row.
    #[error("token buckets must be ascending text lengths of at least 1 token, and allow 1 row")]
    Buckets,
}

/// Smallest, usual and largest shape of every input that has a symbolic axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeProfiles {
    min: BTreeMap<String, Vec<usize>>,
    opt: BTreeMap<String, Vec<usize>>,
    max: BTreeMap<String, Vec<usize>>,
}

impl TokenBuckets {
    /// Buckets of doubling lengths up to `max_text` tokens.
    pub fn doubling(max_text: usize, budget: usize, image_tokens: usize, rows: usize) -> Self {
        let mut text: Vec<usize> = std::iter::successors(Some(SHORTEST), |length| length.checked_mul(2))
            .take_while(|&l| l < max_text)
            .collect();
        text.push(max_text);
        Self { text, budget, image_tokens, rows, tag_tokens: 0 }
    }

    /// One extent of `batch` and of `text` that covers every batch cut from these buckets. It is tuned for a full
    /// batch of the middle bucket.
    ///
    /// # Errors
    /// [`ProfileError::Buckets`].
    pub fn extents(&self) -> Result<SymbolExtents, ProfileError> {
        let ascending = self.text.windows(2).all(|pair| pair[0] < pair[1]);
        let (Some(&shortest), Some(&longest), true) = (self.text.first(), self.text.last(), ascending) else {
            return Err(ProfileError::Buckets);
        };
        if shortest == 0 || self.rows == 0 {
            return Err(ProfileError::Buckets);
        }
        let middle = self.text[self.text.len() / 2];
        // The usual row has tags for half of its tokens, of six tokens each.
        let (tags, usual) = match self.tag_tokens {
            0 => (0, 0),
            most => ((middle + self.image_tokens).div_ceil(USUAL_TAG), USUAL_TAG.min(most)),
        };
        let rows = |text: usize| (self.budget / (text + self.image_tokens)).clamp(1, self.rows);
        let mut extents = SymbolExtents::from([
            ("batch".to_owned(), Extent { min: 1, opt: rows(middle + tags * usual), max: rows(1) }),
            ("text".to_owned(), Extent { min: 1, opt: middle, max: longest }),
        ]);
        if self.tag_tokens > 0 {
            // `[CLS]`, `[SEP]` and a token between them.
            let most = (self.budget / 3).max(tags);
            extents.insert("tags".to_owned(), Extent { min: 1, opt: tags, max: most });
            extents.insert("tag_text".to_owned(), Extent { min: 1, opt: usual, max: self.tag_tokens });
        }
        Ok(extents)
    }
}

impl ShapeProfiles {
    /// The profile of a graph's inputs over the given extents.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub fn new(inputs: &[TensorSpec], extents: &SymbolExtents) -> Result<Self, ProfileError> {
        for (symbol, extent) in extents {
            if !(1 <= extent.min && extent.min <= extent.opt && extent.opt <= extent.max) {
                return Err(ProfileError::Order { symbol: symbol.clone() });
            }
        }
        let shapes = |pick: fn(&Extent) -> usize| -> Result<BTreeMap<String, Vec<usize>>, ProfileError> {
            let dynamic = |spec: &&TensorSpec| spec.shape.iter().any(|dim| matches!(dim, DimSpec::Symbol(_)));
            inputs
                .iter()
                .filter(dynamic)
                .map(|spec| {
                    let axis = |dim: &DimSpec| match dim {
                        DimSpec::Fixed(extent) => Ok(*extent),
                        DimSpec::Symbol(symbol) => extents
                            .get(symbol)
                            .map(pick)
                            .ok_or_else(|| ProfileError::Unknown { symbol: symbol.clone(), input: spec.name.clone() }),
                    };
                    Ok((spec.name.clone(), spec.shape.iter().map(axis).collect::<Result<_, _>>()?))
                })
                .collect()
        };
        Ok(Self { min: shapes(|e| e.min)?, opt: shapes(|e| e.opt)?, max: shapes(|e| e.max)? })
    }

    /// The provider's option strings: `trt_profile_min_shapes = input_ids:1x1,pixel_values:1x3x224x224` and so on.
    pub fn to_options(&self) -> BTreeMap<String, String> {
        let text = |shapes: &BTreeMap<String, Vec<usize>>| {
            let one = |(name, shape): (&String, &Vec<usize>)| {
                format!("{name}:{}", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x"))
            };
            shapes.iter().map(one).collect::<Vec<_>>().join(",")
        };
        BTreeMap::from([
            ("trt_profile_min_shapes".to_owned(), text(&self.min)),
            ("trt_profile_opt_shapes".to_owned(), text(&self.opt)),
            ("trt_profile_max_shapes".to_owned(), text(&self.max)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Vec<TensorSpec> {
        let symbol = |name: &str| DimSpec::Symbol(name.to_owned());
        let text = vec![symbol("batch"), symbol("text")];
        let image = vec![symbol("batch"), DimSpec::Fixed(3), DimSpec::Fixed(224), DimSpec::Fixed(224)];
        [("input_ids", text), ("pixel_values", image), ("scale", vec![DimSpec::Fixed(1)])]
            .map(|(name, shape)| TensorSpec { name: name.to_owned(), dtype: "float32".to_owned(), shape })
            .to_vec()
    }

    #[test]
    fn profiles_cover_the_token_buckets() {
        let buckets = TokenBuckets::doubling(144, 4096, 50, 60);
        assert_eq!(buckets.text, [16, 32, 64, 128, 144]);
        let profiles = ShapeProfiles::new(&inputs(), &buckets.extents().unwrap()).unwrap();
        let options = profiles.to_options();
        assert_eq!(options["trt_profile_min_shapes"], "input_ids:1x1,pixel_values:1x3x224x224");
        assert_eq!(options["trt_profile_opt_shapes"], "input_ids:35x64,pixel_values:35x3x224x224");
        assert_eq!(options["trt_profile_max_shapes"], "input_ids:60x144,pixel_values:60x3x224x224");
        let wide = TokenBuckets { rows: 1000, ..buckets };
        assert_eq!(wide.extents().unwrap()["batch"].max, 4096 / 51, "rows may be shorter than the shortest bucket");
        let apart = TokenBuckets { tag_tokens: 32, ..TokenBuckets::doubling(112, 4096, 50, 60) }.extents().unwrap();
        assert_eq!(apart["tag_text"], Extent { min: 1, opt: 6, max: 32 });
        assert_eq!(apart["tags"], Extent { min: 1, opt: 19, max: 1365 }, "the shortest tag has three tokens");
        assert_eq!(apart["batch"], Extent { min: 1, opt: 17, max: 60 });
    }

    #[test]
    fn what_makes_no_profile_is_refused() {
        let buckets = |text: &[usize]| {
            TokenBuckets { text: text.to_vec(), budget: 64, image_tokens: 0, rows: 8, tag_tokens: 0 }.extents()
        };
        for text in [&[][..], &[32, 16], &[0, 16]] {
            assert_eq!(buckets(text), Err(ProfileError::Buckets));
        }
        assert_eq!(buckets(&[144]).unwrap()["batch"], Extent { min: 1, opt: 1, max: 8 });
        let mut extents = buckets(&[16]).unwrap();
        extents.remove("text");
        let error = ShapeProfiles::new(&inputs(), &extents).unwrap_err();
        assert_eq!(error.to_string(), "no extent is given for `text` of input `input_ids`");
        extents.insert("text".to_owned(), Extent { min: 4, opt: 2, max: 8 });
        assert!(matches!(ShapeProfiles::new(&inputs(), &extents), Err(ProfileError::Order { .. })));
    }
}
