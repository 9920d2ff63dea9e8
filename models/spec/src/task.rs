//! The names that tell graphs apart: task, variant and precision.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name on the command line or in a file that is none of the known ones.
#[derive(Debug, thiserror::Error)]
#[error("unknown {what} `{given}`: use one of {known}")]
pub struct UnknownName {
    what: &'static str,
    given: String,
    known: String,
}

/// An enum whose values have one name each, written the same way in files, on the command line and
/// in messages, and optionally further names that are only read.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident, $what:literal: $($(#[$vmeta:meta])* $variant:ident = $text:literal $(| $alias:literal)*),+ $(,)?) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value, in the order in which reports list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in files, on the command line and in messages.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $name {
            type Err = UnknownName;

            fn from_str(given: &str) -> Result<Self, UnknownName> {
                match given {
                    $($text $(| $alias)* => Ok(Self::$variant),)+
                    _ => Err(UnknownName {
                        what: $what,
                        given: given.to_owned(),
                        known: Self::ALL.iter().map(|v| v.name()).collect::<Vec<_>>().join(", "),
                    }),
                }
            }
        }
    };
}
named! {
    /// What a trained model answers.
    Task, "task":
    /// Does a tag (or query) describe a product? One logit a row; paper, section 4.4.
    Match = "match",
    /// Which of C classes is a product in? C logits a row; paper, section 4.6.
    Classification = "classification" | "classify",
    /// Are two products the same? One logit over `[pooled_source; pooled_target]`; paper, section 4.5.
    Alignment = "alignment" | "align",
}

named! {
    /// A graph of a bundle: the encoder with its head over the modalities a product has, or the
    /// pair head of alignment.
    Variant, "variant":
    /// Text and image.
    Full = "full",
    /// Text only; carries no image weight.
    Text = "text",
    /// Image only (and, for match, the tag).
    Image = "image",
    /// The alignment head over two pooled vectors.
    Pair = "pair",
    /// Of one-way attention, what tags see of a title and an image.
    FullContext = "full_context",
    /// Of one-way attention, what tags see of a title.
    TextContext = "text_context",
    /// Of one-way attention, what tags see of an image.
    ImageContext = "image_context",
    /// Of one-way attention, the answers for tags over what they see.
    Tags = "tags",
}

impl Variant {
    /// The variants that encode a product, in the order of preference.
    pub const ENCODERS: [Self; 3] = [Self::Full, Self::Text, Self::Image];

    /// The parts that [`Variant::ENCODERS`] of one-way attention can be had in: what reads products, and what answers.
    pub const PARTS: [Self; 4] = [Self::FullContext, Self::TextContext, Self::ImageContext, Self::Tags];

    /// Whether the graph ends with what tags see of a product.
    pub fn is_context(self) -> bool {
        matches!(self, Self::FullContext | Self::TextContext | Self::ImageContext)
    }
}

named! {
    /// The arithmetic of an exported graph.
    Precision, "precision":
    /// IEEE single precision throughout.
    F32 = "f32",
    /// Half-precision weights and activations, single precision where it must be.
    F16 = "f16",
    /// 8-bit weight products, activations quantized per token at run time.
    Int8 = "int8",
    /// 8-bit, static ranges, as QuantizeLinear/DequantizeLinear pairs.
    Qdq = "qdq",
    /// 8-bit weights, single-precision arithmetic.
    W8 = "w8",
}

impl Precision {
    /// What is appended to a graph's file name: `full.onnx`, `full_fp16.onnx`, `full_int8.onnx`.
    pub fn file_suffix(self) -> &'static str {
        match self {
            Self::F32 => "",
            Self::F16 => "_fp16",
            Self::Int8 => "_int8",
            Self::Qdq => "_qdq",
            Self::W8 => "_w8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for &task in Task::ALL {
            assert_eq!(task.name().parse::<Task>().unwrap(), task);
            assert_eq!(serde_json::to_string(&task).unwrap(), format!("\"{task}\""));
        }
        assert_eq!("classify".parse::<Task>().unwrap(), Task::Classification);
        let error = "both".parse::<Variant>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown variant `both`: use one of full, text, image, pair, full_context, text_context, image_context, tags"
        );
    }
}
