//! Why an image cannot be used.

/// An image that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// There is no byte.
    #[error("the image file is empty (0 bytes)")]
    Empty,
    /// The bytes are something else.
    #[error("not an image: {found}; JPEG, PNG, WebP, GIF and BMP are read")]
    NotAnImage {
        /// What they look like.
        found: String,
    },
    /// An image, but of a kind that is not read.
    #[error("{what} is not supported; convert it to an ordinary JPEG or PNG")]
    Unsupported {
        /// The format or feature.
        what: String,
    },
    /// Beyond a limit.
    #[error("the image is too large: {what}; make it smaller")]
    TooLarge {
        /// What is beyond which limit.
        what: String,
    },
    /// The file ends before the image does.
    #[error("the {format} file is cut off: it ends before the image does; fetch or copy it again")]
    Truncated {
        /// The format.
        format: &'static str,
    },
    /// The file contradicts its format.
    #[error("the {format} file is damaged: {reason}")]
    Damaged {
        /// The format.
        format: &'static str,
        /// What the decoder found.
        reason: String,
    },
}

impl ImageError {
    /// A stable name that programs may match.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "image_empty",
            Self::NotAnImage { .. } => "image_not_an_image",
            Self::Unsupported { .. } => "image_unsupported",
            Self::TooLarge { .. } => "image_too_large",
            Self::Truncated { .. } => "image_truncated",
            Self::Damaged { .. } => "image_damaged",
        }
    }
}
