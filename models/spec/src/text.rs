//! Text to token ids: WordPiece tokenization, the rows the model reads, and vocabularies of one's own.

mod rows;
mod tokenizer;
mod train;

#[cfg(test)]
mod tests;

pub use rows::{TextError, TextIds, TextRow};
pub use tokenizer::{MAX_ENCODED_TOKENS, MAX_READ_BYTES, Tokenizer, TokenizerError};
