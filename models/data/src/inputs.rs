//! What an input names: a file, the files of a folder, or those that a pattern matches.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::error::ReadError;
use crate::format::Format;

/// The files of an input, in the order in which they are read: that of their paths.
///
/// A folder stands for the files of known formats in it and in its folders, but for names that begin with `.` or `_`, which
/// engines use for files of their own (`_SUCCESS`). A path of which there is no file, with `*`, `?`, `[..]` or `**` in it, is a pattern.
///
/// # Errors
/// If a folder cannot be read, there is no such file in it, a pattern matches none, or the files are of several formats.
pub fn input_files(input: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let broken = |reason: String| ReadError::broken(input, reason);
    let mut files = Vec::new();
    if input.is_dir() {
        collect(input, &mut files)?;
        if files.is_empty() {
            let known = "no .parquet, .arrow, .jsonl, .csv or .tsv file";
            return Err(broken(format!("{known} in this folder")));
        }
    } else if !input.exists() && is_pattern(input) {
        let pattern = input.to_str().ok_or_else(|| broken("a pattern must be UTF-8".to_owned()))?;
        let matches = glob::glob(pattern).map_err(|error| broken(format!("not a pattern: {error}")))?;
        for path in matches {
            let path = path.map_err(|error| ReadError::io(error.path())(std::io::Error::other(error.to_string())))?;
            if path.is_dir() { collect(&path, &mut files)? } else { files.push(path) }
        }
        if files.is_empty() {
            return Err(broken("no file matches this pattern".to_owned()));
        }
    } else {
        return Ok(vec![input.to_owned()]);
    }
    files.sort();
    files.dedup();
    let formats: Vec<Option<Format>> = files.iter().map(|file| Format::of(file)).collect();
    if let Some(other) = formats.iter().position(|format| *format != formats[0]) {
        let name = |place: usize| formats[place].map_or("unknown", Format::name);
        return Err(broken(format!(
            "files of several formats ({} is {}, {} is {}); name those of one with a pattern such as \"{}\"",
            files[0].display(),
            name(0),
            files[other].display(),
            name(other),
            Path::new("FOLDER").join("*.parquet").display()
        )));
    }
    Ok(files)
}

/// The folder that image paths of an input are relative to: the folder of a file, a folder itself, and of a pattern the part before
/// its first wildcard.
pub fn input_folder(input: &Path) -> PathBuf {
    if input.is_dir() {
        return input.to_owned();
    }
    let parent = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
    let mut folder = parent(input);
    if !input.exists() && is_pattern(input) {
        let fixed = |part: &Component<'_>| !is_pattern(Path::new(part.as_os_str()));
        let whole: PathBuf = input.components().take_while(fixed).collect();
        folder = whole;
    }
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder }
}

/// Whether a file of this path would be read with an input: it is the input or one of its files, it lies in the input's folder, or the
/// input's pattern matches it or a folder that it is in. The file need not be there.
pub fn reads(input: &Path, file: &Path) -> bool {
    let file = place(file);
    if input.is_dir() {
        return file.starts_with(place(input));
    }
    if input.exists() || !is_pattern(input) {
        return place(input) == file;
    }
    let folder = input_folder(input);
    let rest = input.strip_prefix(&folder).unwrap_or(input);
    let pattern = format!("{}/{}", glob::Pattern::escape(&place(&folder).to_string_lossy()), rest.to_string_lossy());
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
    glob::Pattern::new(&pattern)
        .is_ok_and(|pattern| file.ancestors().any(|path| pattern.matches_path_with(path, options)))
}

/// A path without links, as far as it is there.
fn place(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().find_map(|part| Some((part.canonicalize().ok()?, path.strip_prefix(part).ok()?)));
    match there {
        Some((part, rest)) if rest.as_os_str().is_empty() => part,
        Some((part, rest)) => part.join(rest),
        None => path,
    }
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), ReadError> {
    for entry in fs::read_dir(folder).map_err(ReadError::io(folder))? {
        let entry = entry.map_err(ReadError::io(folder))?;
        if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        let path = entry.path();
        // Links to folders are not followed: they may lead in circles.
        if entry.file_type().map_err(ReadError::io(&path))?.is_dir() {
            collect(&path, files)?;
        } else if Format::of(&path).is_some() && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, input: &str) -> Result<Vec<String>, String> {
        let files = input_files(&folder.join(input)).map_err(|error| error.to_string())?;
        let name = |file: &PathBuf| file.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
        Ok(files.iter().map(name).collect())
    }

    #[test]
    fn what_would_be_read_is_told_before_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        fs::create_dir_all(at.join("in/deep")).unwrap();
        fs::write(at.join("in/a.jsonl"), "").unwrap();
        for (input, file, expected) in [
            ("in/a.jsonl", "in/a.jsonl", true),
            ("in/a.jsonl", "in/../in/a.jsonl", true),
            ("in/a.jsonl", "in/b.jsonl", false),
            ("in", "in/b.jsonl", true),
            ("in", "in/new/b.jsonl", true),
            ("in", "inner.jsonl", false),
            ("in/*.jsonl", "in/b.jsonl", true),
            ("in/*.jsonl", "in/b.parquet", false),
            ("in/*.jsonl", "in/new/part-00000.jsonl", false),
            ("in/**/*.jsonl", "in/new/part-00000.jsonl", true),
            ("in/*", "in/new/part-00000.jsonl", true),
            ("i[n]/a.*", "in/a.parquet", true),
        ] {
            assert_eq!(reads(&at.join(input), &at.join(file)), expected, "{input} {file}");
        }
        // A link to the same place.
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at.join("in"), at.join("link")).unwrap();
            assert!(
                reads(&at.join("in"), &at.join("link/b.jsonl"))
                    && reads(&at.join("link/*.jsonl"), &at.join("in/b.jsonl"))
            );
        }
    }

    #[test]
    fn folders_and_patterns_name_files_in_the_order_of_their_paths() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for name in ["b.jsonl", "a.jsonl.gz", "notes.txt", "_SUCCESS", "_x.jsonl", ".a.jsonl.crc", "deep/c.jsonl"] {
            fs::create_dir_all(at.join(name).parent().unwrap()).unwrap();
            fs::write(at.join(name), "").unwrap();
        }
        let all = ["a.jsonl.gz", "b.jsonl", "deep/c.jsonl"].map(str::to_owned);
        assert_eq!(names(at, "").as_deref(), Ok(&all[..]));
        assert_eq!(
            names(at, "*.jsonl"),
            Ok(vec!["_x.jsonl".to_owned(), all[1].clone()]),
            "a pattern means what it says"
        );
        assert_eq!(names(at, "[ab].*").as_deref(), Ok(&all[..2]));
        assert_eq!(names(at, "?/*.jsonl").unwrap_err().rsplit(": ").next(), Some("no file matches this pattern"));
        assert_eq!(names(at, "de*").as_deref(), Ok(&all[2..]));
        assert_eq!(names(at, "none.jsonl").as_deref(), Ok(&["none.jsonl".to_owned()][..]), "opening it will tell");
        assert!(names(at, "*.parquet").unwrap_err().ends_with("no file matches this pattern"));
        fs::create_dir(at.join("empty")).unwrap();
        assert!(names(at, "empty").unwrap_err().ends_with("file in this folder"));
        fs::write(at.join("z.csv"), "").unwrap();
        let error = names(at, "").unwrap_err();
        assert!(error.contains("files of several formats") && error.contains("z.csv is csv"), "{error}");
    }

    #[test]
    fn images_lie_where_the_pattern_begins() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        assert_eq!(input_folder(at), at);
        assert_eq!(input_folder(&at.join("a.jsonl")), at);
        assert_eq!(input_folder(&at.join("x*/a.jsonl")), at);
        assert_eq!(input_folder(&at.join("*.jsonl")), at);
        assert_eq!(input_folder(Path::new("a.jsonl")), Path::new("."));
        assert_eq!(input_folder(Path::new("*.jsonl")), Path::new("."));
    }
}
