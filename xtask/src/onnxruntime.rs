//! Getting the ONNX Runtime library, which this project loads at run time and never links.
//!
//! It comes through the ordinary clients of public package registries: the PyPI wheel through pip,
//! else the npm package. Only the one shared library is kept, in `target/onnxruntime/<version>/`, where
//! `mbsd` and the exporter look for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::workspace::{Workspace, output};

/// Version taken from PyPI.
const PYPI_VERSION: &str = "1.31.1";
/// Version taken from npm, which lags behind.
const NPM_VERSION: &str = "1.30.0";
/// Beside the library: what it is.
const MARKER: &str = "onnxruntime.json";

/// A library that is there and is what its marker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Library {
    /// ONNX Runtime's version.
    version: String,
    /// The package it was taken from.
    source: String,
    /// SHA-256 of the file, in hex.
    sha256: String,
}

impl Library {
    /// Version, source and place, in words.
    pub(crate) fn describe(&self, workspace: &Workspace) -> String {
        format!("{} from {} in {}", self.version, self.source, workspace.shown(&self.path(workspace)))
    }

    /// The shared library.
    pub(crate) fn path(&self, workspace: &Workspace) -> PathBuf {
        folder(workspace).join(&self.version).join(library_file())
    }
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("onnxruntime")
}

/// Makes sure that the programs will find a library, and says which: the one `ORT_DYLIB_PATH` names, else ours.
///
/// # Errors
/// As [`ensure`].
pub(crate) fn available(workspace: &Workspace) -> Result<String> {
    match std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        Some(path) => Ok(format!("{}, named by ORT_DYLIB_PATH", path.display())),
        None => ensure(workspace).map(|library| library.describe(workspace)),
    }
}

/// The library, fetched if it is not there or not whole.
///
/// # Errors
/// If no registry client delivers it; the message says what each of them said and what to do.
pub(crate) fn ensure(workspace: &Workspace) -> Result<Library> {
    let folder = folder(workspace);
    let mut failures = Vec::new();
    if let Some(library) = Source::ALL.into_iter().find_map(|source| installed(&folder, source.version())) {
        return Ok(library);
    }
    for source in Source::ALL {
        match fetch(source, &folder) {
            Ok(library) => return Ok(library),
            Err(error) => failures.push(format!("- {}: {error:#}", source.package())),
        }
    }
    bail!(
        "the ONNX Runtime library could not be fetched:\n{}\nInstall pip or npm, or set ORT_DYLIB_PATH to a {} of \
         version 1.24 or later",
        failures.join("\n"),
        library_file(),
    )
}

/// The library of this version, if it is there and its digest is right.
fn installed(folder: &Path, version: &str) -> Option<Library> {
    let folder = folder.join(version);
    let library: Library = serde_json::from_slice(&fs::read(folder.join(MARKER)).ok()?).ok()?;
    let bytes = fs::read(folder.join(library_file())).ok()?;
    (library.version == version && library.sha256 == sha256(&bytes)).then_some(library)
}

/// The library's name on this platform, without a version: the folder carries that.
fn library_file() -> String {
    format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// Whether a file of a package is the library: `libonnxruntime.so.1.31.1`, `libonnxruntime.1.31.1.dylib`, `onnxruntime.dll`.
fn is_library(name: &str) -> bool {
    let (stem, suffix) = (format!("{}onnxruntime.", std::env::consts::DLL_PREFIX), std::env::consts::DLL_SUFFIX);
    name.starts_with(&stem) && (name.ends_with(suffix) || name.contains(&format!("{suffix}.")))
}

/// A registry that has the library.
#[derive(Debug, Clone, Copy)]
enum Source {
    Pypi,
    Npm,
}

impl Source {
    const ALL: [Self; 2] = [Self::Pypi, Self::Npm];

    fn version(self) -> &'static str {
        match self {
            Self::Pypi => PYPI_VERSION,
            Self::Npm => NPM_VERSION,
        }
    }

    fn package(self) -> String {
        match self {
            Self::Pypi => format!("PyPI onnxruntime {PYPI_VERSION}"),
            Self::Npm => format!("npm onnxruntime-node {NPM_VERSION}"),
        }
    }

    /// Downloads and unpacks the package into `folder` and returns the library in it.
    fn download(self, folder: &Path) -> Result<PathBuf> {
        match self {
            Self::Pypi => from_pypi(folder),
            Self::Npm => from_npm(folder),
        }
    }
}

/// Fetches the library from one source and puts it in its place: library first, marker last, each moved there whole.
fn fetch(source: Source, folder: &Path) -> Result<Library> {
    let scratch = Scratch::new(folder)?;
    let unpacked = source.download(&scratch.0)?;
    let bytes = fs::read(&unpacked).with_context(|| format!("cannot read {}", unpacked.display()))?;
    let version = source.version();
    if !contains(&bytes, version.as_bytes()) {
        bail!("{} does not name version {version}", unpacked.display());
    }
    let library = Library { version: version.to_owned(), source: source.package(), sha256: sha256(&bytes) };
    let marker = scratch.0.join(MARKER);
    fs::write(&marker, serde_json::to_vec_pretty(&library)?)?;
    let folder = folder.join(version);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (from, name) in [(&unpacked, library_file().as_str()), (&marker, MARKER)] {
        let to = folder.join(name);
        fs::rename(from, &to).with_context(|| format!("cannot move {} to {}", from.display(), to.display()))?;
    }
    Ok(library)
}

fn from_pypi(folder: &Path) -> Result<PathBuf> {
    let mut failures = Vec::new();
    for python in ["python3", "python"] {
        // The wheel is wanted for its C library only: asking for a fixed Python makes it the same file under every host Python.
        let mut pip = Command::new(python);
        pip.args([
            "-m",
            "pip",
            "download",
            &format!("onnxruntime=={PYPI_VERSION}"),
            "--no-deps",
            "--only-binary=:all:",
        ])
        .args(["--python-version", "3.13", "--disable-pip-version-check", "--no-input", "--quiet"])
        .args(["--retries", "1", "--timeout", "20", "--dest"])
        .arg(folder);
        if let Err(error) = output(&mut pip) {
            failures.push(short(&error, &pip));
            continue;
        }
        let wheel = find(folder, |name| name.starts_with("onnxruntime-") && name.ends_with(".whl"))?;
        output(Command::new(python).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder))?;
        return find(&folder.join("onnxruntime").join("capi"), is_library);
    }
    bail!("{}", failures.join("; "))
}

fn from_npm(folder: &Path) -> Result<PathBuf> {
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let mut pack = Command::new(npm);
    pack.args(["pack", &format!("onnxruntime-node@{NPM_VERSION}"), "--silent"])
        .args(["--fetch-retries=1", "--fetch-timeout=60000"])
        .current_dir(folder);
    if let Err(error) = output(&mut pack) {
        bail!("{}", short(&error, &pack));
    }
    let archive = find(folder, |name| name.starts_with("onnxruntime-node-") && name.ends_with(".tgz"))?;
    output(Command::new("tar").arg("-xzf").arg(&archive).current_dir(folder))?;

    let system = match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    };
    let machine = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let binaries = find(&folder.join("package").join("bin"), |name| name.starts_with("napi-"))?;
    find(&binaries.join(system).join(machine), is_library)
}

/// The program and the last line of what it said, which is where package managers put the reason.
fn short(error: &anyhow::Error, command: &Command) -> String {
    let text = format!("{error:#}");
    let reason = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("failed").trim();
    let program = command.get_program().to_string_lossy();
    if reason.contains(&*program) { reason.to_owned() } else { format!("{program}: {reason}") }
}

fn find(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("the package has no {}", folder.display()))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(|name| wanted(name)).collect();
    names.sort();
    match names.first() {
        Some(name) => Ok(folder.join(name)),
        None => bail!("the package has no library for this platform in {}", folder.display()),
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A folder for a download that goes when it is no longer needed.
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("download-{}.tmp", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(folder: &Path, change: impl FnOnce(&mut Library)) -> Option<Library> {
        let version = folder.join(PYPI_VERSION);
        fs::create_dir_all(&version).unwrap();
        let mut library =
            Library { version: PYPI_VERSION.to_owned(), source: "a test".to_owned(), sha256: sha256(b"library") };
        fs::write(version.join(library_file()), b"library").unwrap();
        change(&mut library);
        fs::write(version.join(MARKER), serde_json::to_vec(&library).unwrap()).unwrap();
        installed(folder, PYPI_VERSION)
    }

    #[test]
    fn only_a_whole_library_of_the_right_version_counts_as_installed() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(installed(folder.path(), PYPI_VERSION), None);
        assert!(install(folder.path(), |_| ()).is_some());
        assert_eq!(installed(folder.path(), NPM_VERSION), None);
        assert_eq!(install(folder.path(), |library| library.sha256 = sha256(b"another")), None);
        assert_eq!(install(folder.path(), |library| library.version = "1.0.0".to_owned()), None);
        let cut = folder.path().join(PYPI_VERSION).join(library_file());
        assert_eq!(install(folder.path(), |_| fs::write(cut, b"lib").unwrap()), None);
    }

    #[test]
    fn the_library_is_told_from_its_neighbours_in_a_package() {
        let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        assert!(is_library(&library_file()));
        assert!(is_library(&format!("{prefix}onnxruntime.1.31.1{suffix}")));
        assert!(is_library(&format!("{prefix}onnxruntime{suffix}.1.31.1")));
        assert!(!is_library(&format!("{prefix}onnxruntime_providers_shared{suffix}")));
        assert!(!is_library("onnxruntime_pybind11_state.so"));
    }
}
