//! What goes wrong with one row. It is told beside the rows that went well and never fails its neighbours.

use std::fmt;

use serde::Serialize;

use crate::image::ImageError;
use crate::text::TextError;

/// Why one row has no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowError {
    /// A stable name that programs may match, such as `image_truncated`.
    pub code: &'static str,
    /// What is wrong and what can be done, for people.
    pub message: String,
}

impl RowError {
    /// An error under a stable code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for RowError {}

impl From<ImageError> for RowError {
    fn from(error: ImageError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<TextError> for RowError {
    fn from(error: TextError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_error_keeps_the_code_and_the_message_of_its_cause() {
        let error = RowError::from(ImageError::Empty);
        assert_eq!(error.code, "image_empty");
        assert_eq!(error.to_string(), format!("image_empty: {}", ImageError::Empty));
        let error = RowError::from(TextError::TagTooLong { tokens: "150".into(), limit: 144 });
        assert_eq!(
            serde_json::to_value(&error).unwrap(),
            serde_json::json!({"code": "tag_too_long", "message": error.message})
        );
    }
}
