//! Token rows: `[CLS] title [SEP]` and `[CLS] tag [SEP] title [SEP]` (paper, section 4.3).

use super::tokenizer::Tokenizer;

/// The token ids of one string, without special tokens; at most
/// [`MAX_ENCODED_TOKENS`](super::MAX_ENCODED_TOKENS) of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextIds {
    ids: Box<[u32]>,
    cut: bool,
}

impl TextIds {
    pub(super) fn new(ids: Vec<u32>, cut: bool) -> Self {
        Self { ids: ids.into_boxed_slice(), cut }
    }

    /// The ids, in reading order.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Tokens kept.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether the string has no token: it is empty, blank, or made of invisible characters.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether the string goes on after the tokens kept.
    pub fn is_cut(&self) -> bool {
        self.cut
    }
}

/// One row of text as the model reads it; both lists have the same length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextRow {
    /// Token ids, special tokens included.
    pub input_ids: Vec<i64>,
    /// Segment of each token: 0 up to and including the first `[SEP]`, 1 after it.
    pub token_type_ids: Vec<i64>,
}

impl TextRow {
    /// Tokens of the row.
    pub fn len(&self) -> usize {
        self.input_ids.len()
    }

    /// Whether the row has no token. Rows made by a [`Tokenizer`] have one at least.
    pub fn is_empty(&self) -> bool {
        self.input_ids.is_empty()
    }
}

/// Text that cannot become a row.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A tag or query that does not fit; it is never truncated, for a part of a tag is another tag.
    #[error(
        "the tag or query takes {tokens} tokens with its special tokens, the limit is {limit}: shorten it (only titles are truncated)"
    )]
    TagTooLong {
        /// Tokens it would take.
        tokens: String,
        /// Tokens a row may have.
        limit: usize,
    },
}

impl TextError {
    /// A stable name that programs may match.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TagTooLong { .. } => "tag_too_long",
        }
    }
}

impl Tokenizer {
    /// `[CLS] title [SEP]`, all of segment 0, the title truncated to fit `max_tokens`.
    ///
    /// The two special tokens stay even where `max_tokens` is below 2.
    pub fn title_row(&self, title: &TextIds, max_tokens: usize) -> TextRow {
        let mut row = Row::start(self, &[]);
        row.text(fitting(title, max_tokens.saturating_sub(2)), 0);
        row.special(self.sep_id(), 0);
        row.0
    }

    /// `[CLS] tag [SEP] title [SEP]`, the tag (or query) of segment 0, the title of segment 1 and truncated to fit
    /// `max_tokens`; `[CLS] tag [SEP]` without a title.
    ///
    /// # Errors
    /// [`TextError::TagTooLong`] if the tag and the special tokens alone do not fit.
    pub fn pair_row(&self, tag: &TextIds, title: Option<&TextIds>, max_tokens: usize) -> Result<TextRow, TextError> {
        let fixed = tag.len() + if title.is_some() { 3 } else { 2 };
        if fixed > max_tokens || tag.is_cut() {
            let tokens = if tag.is_cut() { format!("more than {fixed}") } else { fixed.to_string() };
            return Err(TextError::TagTooLong { tokens, limit: max_tokens });
        }
        let mut row = Row::start(self, tag.ids());
        row.special(self.sep_id(), 0);
        if let Some(title) = title {
            row.text(fitting(title, max_tokens - fixed), 1);
            row.special(self.sep_id(), 1);
        }
        Ok(row.0)
    }

    /// `[CLS] tag [SEP]`, all of segment 0: what of a tag is its own under one-way attention.
    ///
    /// # Errors
    /// [`TextError::TagTooLong`] if that is more than `max_tokens`.
    pub fn tag_row(&self, tag: &TextIds, max_tokens: usize) -> Result<TextRow, TextError> {
        self.pair_row(tag, None, max_tokens)
    }

    /// `title [SEP]`, all of segment 1, the title truncated to fit `max_tokens`: what all tags of a product share under one-way
    /// attention.
    pub fn context_row(&self, title: &TextIds, max_tokens: usize) -> TextRow {
        let mut row = Row(TextRow { input_ids: Vec::new(), token_type_ids: Vec::new() });
        row.text(fitting(title, max_tokens.saturating_sub(1)), 1);
        row.special(self.sep_id(), 1);
        row.0
    }
}

fn fitting(title: &TextIds, room: usize) -> &[u32] {
    &title.ids()[..title.len().min(room)]
}

struct Row(TextRow);

impl Row {
    fn start(tokenizer: &Tokenizer, first: &[u32]) -> Self {
        let mut row = Self(TextRow { input_ids: Vec::new(), token_type_ids: Vec::new() });
        row.special(tokenizer.cls_id(), 0);
        row.text(first, 0);
        row
    }

    fn special(&mut self, id: u32, segment: i64) {
        self.text(&[id], segment);
    }

    fn text(&mut self, ids: &[u32], segment: i64) {
        self.0.input_ids.extend(ids.iter().map(|&id| i64::from(id)));
        self.0.token_type_ids.resize(self.0.input_ids.len(), segment);
    }
}
