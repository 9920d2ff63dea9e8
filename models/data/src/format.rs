//! Formats by the name of a file, and text files behind their compression.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::ReadError;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `.parquet`.
    Parquet,
    /// `.arrow`, `.arrows`, `.feather`, `.ipc`: Arrow IPC, a file or a stream.
    Arrow,
    /// `.jsonl`, `.ndjson`.
    JsonLines,
    /// `.csv`.
    Csv,
    /// `.tsv`.
    Tsv,
}

impl Format {
    /// Told by the extension; for text, by the one before `.gz` or `.zst`. `None` for any other name.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let compressed = Compression::of(path) != Compression::None;
        let inner = path.file_stem().filter(|_| compressed).map(Path::new);
        Some(match extension(inner.unwrap_or(path))?.as_str() {
            "parquet" if !compressed => Self::Parquet,
            "arrow" | "arrows" | "feather" | "ipc" if !compressed => Self::Arrow,
            "jsonl" | "ndjson" => Self::JsonLines,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            _ => return None,
        })
    }

    /// Its usual extension.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstandard,
}

impl Compression {
    fn of(path: &Path) -> Self {
        match extension(path).as_deref() {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstandard,
            _ => Self::None,
        }
    }
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_string_lossy().to_ascii_lowercase())
}

/// The text of a file, decompressed where its name says so.
pub(crate) type Text = Box<dyn Read + Send>;

/// Opens a text file.
///
/// # Errors
/// If it cannot be opened. What is wrong within a compressed file shows when it is read.
pub(crate) fn open_text(path: &Path) -> Result<Text, ReadError> {
    let file = File::open(path).map_err(ReadError::io(path))?;
    Ok(match Compression::of(path) {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file))),
        Compression::Zstandard => Box::new(zstd::Decoder::new(file).map_err(ReadError::io(path))?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_format_within_its_compression() {
        let of = |name: &str| Format::of(Path::new(name));
        assert_eq!(of("a/b.c.PARQUET"), Some(Format::Parquet));
        assert_eq!(of("b.jsonl.gz"), Some(Format::JsonLines));
        assert_eq!(of("b.TSV.zst"), Some(Format::Tsv));
        assert_eq!(of("b.ipc"), Some(Format::Arrow));
        for other in ["b.parquet.gz", "b.gz", "gz", "b.txt", "b", ".parquet", "b.arrow.zst"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
