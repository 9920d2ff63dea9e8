//! The tokenizer: a thin, bounded layer over the `tokenizers` crate.

use std::path::{Path, PathBuf};

use tokenizers::models::bpe::Vocab;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::{BertNormalizer, NormalizerWrapper};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, decoders,
};

use super::rows::TextIds;
use crate::config::Config;

/// Tokens of one string that are kept. Above any row's limit, so that one encoding serves every row the string is in.
pub const MAX_ENCODED_TOKENS: usize = 512;

/// Bytes of one string that are read. A string that has fewer than [`MAX_ENCODED_TOKENS`] tokens in them (an unbroken
/// run of letters or of invisible characters) counts up to there.
pub const MAX_READ_BYTES: usize = 1 << 18;

/// Bytes tokenized first, enough for [`MAX_ENCODED_TOKENS`] in ordinary text.
const FIRST_READ_BYTES: usize = 1 << 12;

/// The special tokens every vocabulary must have.
pub(super) const SPECIAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Text to token ids. Cheap to share: encoding takes `&self` and any number of threads may do it at once.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: [u32; 5],
    vocab_size: usize,
    /// Whether a word's tokens depend on that word alone, so that a prefix of the text gives a prefix of the tokens.
    word_by_word: bool,
}

/// A tokenizer that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The file cannot be read as text.
    #[error("cannot read the tokenizer {}; give a vocab.txt or a tokenizer.json", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is no `tokenizer.json`.
    #[error("not a tokenizer.json: {0}")]
    Syntax(String),
    /// A file holds no tokenizer.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with its text.
        error: Box<TokenizerError>,
    },
    /// The vocabulary is unusable.
    #[error("unusable vocabulary: {0}")]
    Vocabulary(String),
    /// A special token is not in the vocabulary.
    #[error("the vocabulary has no {0}: a BERT vocabulary has [PAD], [UNK], [CLS], [SEP] and [MASK]")]
    MissingToken(&'static str),
    /// The tokenizer makes ids the model has no embedding for.
    #[error(
        "the tokenizer has {vocab} entries, the model embeds {embedded} (`vocab_size`): they do not belong together"
    )]
    TooLarge {
        /// Entries of the tokenizer.
        vocab: usize,
        /// Entries of the word embedding.
        embedded: usize,
    },
}

impl Tokenizer {
    /// Reads a `tokenizer.json`, or a `vocab.txt` with one token a line as [`Tokenizer::from_vocab`] does in lower case.
    /// A file whose name ends in `.json` is the former.
    ///
    /// # Errors
    /// See [`TokenizerError`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|source| TokenizerError::Read { path: path.to_owned(), source })?;
        let is_json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
        let read = if is_json { Self::from_json(&text) } else { Self::from_vocab(text.lines(), true) };
        read.map_err(|error| TokenizerError::File { path: path.to_owned(), error: Box::new(error) })
    }

    /// BERT's WordPiece over a vocabulary in id order: control characters removed, Chinese characters apart, accents
    /// stripped where `lowercase`, split at blanks and punctuation, longest match first.
    ///
    /// # Errors
    /// If a token occurs twice or a special token is missing.
    pub fn from_vocab<T: Into<String>>(
        tokens: impl IntoIterator<Item = T>,
        lowercase: bool,
    ) -> Result<Self, TokenizerError> {
        let mut vocab = Vocab::new();
        for (id, token) in (0u32..).zip(tokens) {
            let token = token.into();
            if let Some(first) = vocab.insert(token.clone(), id) {
                let reason = format!("`{token}` is on line {} and on line {}", first + 1, id + 1);
                return Err(TokenizerError::Vocabulary(reason));
            }
        }
        // Checked here, for the crate adds a special token that is missing.
        let mut special = [0; SPECIAL_TOKENS.len()];
        for (id, token) in special.iter_mut().zip(SPECIAL_TOKENS) {
            *id = vocab.get(token).copied().ok_or(TokenizerError::MissingToken(token))?;
        }
        let [_, _, cls, sep, _] = special;
        let model = WordPiece::builder().vocab(vocab).build().map_err(|e| TokenizerError::Vocabulary(e.to_string()))?;
        let mut inner = tokenizers::Tokenizer::new(model);
        inner
            .with_normalizer(Some(BertNormalizer::new(true, true, None, lowercase)))
            .map_err(|e| TokenizerError::Vocabulary(e.to_string()))?;
        inner
            .with_pre_tokenizer(Some(BertPreTokenizer))
            .with_post_processor(Some(BertProcessing::new(("[SEP]".into(), sep), ("[CLS]".into(), cls))))
            .with_decoder(Some(decoders::wordpiece::WordPiece::default()));
        inner
            .add_special_tokens(SPECIAL_TOKENS.map(|token| AddedToken::from(token, true)))
            .map_err(|e| TokenizerError::Vocabulary(e.to_string()))?;
        Self::new(inner)
    }

    /// Reads the text of a `tokenizer.json`. Truncation and padding that it may ask for are left to the rows.
    ///
    /// # Errors
    /// See [`TokenizerError`].
    pub fn from_json(text: &str) -> Result<Self, TokenizerError> {
        let inner =
            tokenizers::Tokenizer::from_bytes(text.as_bytes()).map_err(|e| TokenizerError::Syntax(e.to_string()))?;
        Self::new(inner)
    }

    fn new(mut inner: tokenizers::Tokenizer) -> Result<Self, TokenizerError> {
        let mut special = [0; 5];
        for (id, token) in special.iter_mut().zip(SPECIAL_TOKENS) {
            *id = inner.token_to_id(token).ok_or(TokenizerError::MissingToken(token))?;
        }
        let largest = inner.get_vocab(true).into_values().max().unwrap_or(0);
        inner.with_truncation(None).map_err(|e| TokenizerError::Syntax(e.to_string()))?;
        inner.with_padding(None);
        // "[SEP]" typed into a title is seven letters and brackets, not the end of the title.
        inner.set_encode_special_tokens(true);
        let word_by_word = matches!(inner.get_normalizer(), None | Some(NormalizerWrapper::BertNormalizer(_)))
            && matches!(inner.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)))
            && inner.get_added_tokens_decoder().values().all(|token| token.special);
        Ok(Self { inner, special, vocab_size: largest as usize + 1, word_by_word })
    }

    /// The text of a `tokenizer.json`, the same for equal tokenizers, with a closing newline.
    pub fn to_json(&self) -> String {
        let mut text = self.inner.to_string(true).expect("a tokenizer of plain fields is JSON");
        text.push('\n');
        text
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Id of `[PAD]`.
    pub fn pad_id(&self) -> u32 {
        self.special[0]
    }

    /// Id of `[UNK]`.
    pub fn unk_id(&self) -> u32 {
        self.special[1]
    }

    /// Id of `[CLS]`.
    pub fn cls_id(&self) -> u32 {
        self.special[2]
    }

    /// Id of `[SEP]`.
    pub fn sep_id(&self) -> u32 {
        self.special[3]
    }

    /// Id of `[MASK]`.
    pub fn mask_id(&self) -> u32 {
        self.special[4]
    }

    /// The token of an id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The words of a string as the vocabulary looks them up: normalized, split at blanks and punctuation.
    pub(super) fn words(&self, text: &str) -> Vec<String> {
        let mut text = NormalizedString::from(&text[..text.floor_char_boundary(MAX_READ_BYTES)]);
        if let Some(normalizer) = self.inner.get_normalizer()
            && normalizer.normalize(&mut text).is_err()
        {
            return Vec::new();
        }
        let mut text = PreTokenizedString::from(text);
        if let Some(splitter) = self.inner.get_pre_tokenizer()
            && splitter.pre_tokenize(&mut text).is_err()
        {
            return Vec::new();
        }
        let splits = text.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
        splits.into_iter().map(|(word, _, _)| word.to_owned()).collect()
    }

    /// Checks that the model embeds every id of this tokenizer.
    ///
    /// # Errors
    /// [`TokenizerError::TooLarge`].
    pub fn check_fits(&self, config: &Config) -> Result<(), TokenizerError> {
        if self.vocab_size <= config.vocab_size {
            Ok(())
        } else {
            Err(TokenizerError::TooLarge { vocab: self.vocab_size, embedded: config.vocab_size })
        }
    }

    /// The tokens of a string, without special tokens: the first [`MAX_ENCODED_TOKENS`] of them, out of the first
    /// [`MAX_READ_BYTES`] bytes. Of a long text only as much is tokenized as these take. A special token spelled out in
    /// the text is read as the characters it is spelled with.
    pub fn encode(&self, text: &str) -> TextIds {
        self.encode_within(text, FIRST_READ_BYTES, MAX_ENCODED_TOKENS)
    }

    /// The first `limit` tokens, looked for in the first `read` bytes, then in four times as many, and so on.
    pub(super) fn encode_within(&self, text: &str, mut read: usize, limit: usize) -> TextIds {
        let text = &text[..text.floor_char_boundary(MAX_READ_BYTES)];
        while self.word_by_word && read < text.len() {
            let ids = self.whole_words(&text[..text.floor_char_boundary(read)]);
            if ids.len() > limit {
                return kept(ids, limit);
            }
            read = read.saturating_mul(4);
        }
        // The crate fails on a word it cannot look up at all; with [UNK] in the vocabulary there is none.
        kept(self.inner.encode_fast(text, false).map(|e| e.get_ids().to_vec()).unwrap_or_default(), limit)
    }

    /// The tokens of a prefix of a text, up to its last word, which may go on after the prefix.
    fn whole_words(&self, prefix: &str) -> Vec<u32> {
        let Ok(encoding) = self.inner.encode(prefix, false) else { return Vec::new() };
        let words = encoding.get_word_ids();
        let last = words.last().copied().flatten();
        let whole = words.iter().position(|&word| word == last).unwrap_or(0);
        encoding.get_ids()[..whole].to_vec()
    }
}

fn kept(mut ids: Vec<u32>, limit: usize) -> TextIds {
    let cut = ids.len() > limit;
    ids.truncate(limit);
    TextIds::new(ids, cut)
}
