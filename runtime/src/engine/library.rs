//! Which ONNX Runtime library a process uses: found, checked and loaded once.
//!
//! Looked for, in this order: the path given on the command line; `ORT_DYLIB_PATH`; beside the program; in
//! `onnxruntime/<version>/` beside or above the program's folder, where `cargo xtask` puts it (`target/onnxruntime`);
//! the system's library path. The first two are taken at their word: what they name must be there and fit.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ::ort::environment::Environment;

/// The environment variable that names the library.
const VARIABLE: &str = "ORT_DYLIB_PATH";

/// The oldest library that serves.
const MINIMUM: &str = "1.24";

/// How many folders above the program are searched for `onnxruntime`: its own, the build profile's and the target's.
const FOLDERS_ABOVE: usize = 3;

/// Where a library was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Named by the caller.
    Given,
    /// Named by `ORT_DYLIB_PATH`.
    Variable,
    /// Beside the program.
    Beside,
    /// In the folder that `cargo xtask` fills.
    Fetched,
    /// On the system's library path.
    System,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "given",
            Self::Variable => "from ORT_DYLIB_PATH",
            Self::Beside => "beside the program",
            Self::Fetched => "fetched by cargo xtask",
            Self::System => "the system's",
        })
    }
}

/// The library that was taken.
#[derive(Debug, Clone)]
pub struct RuntimeLibrary {
    /// The file; a bare name where the system's loader found it.
    pub path: PathBuf,
    /// Its version, such as `1.31.1`.
    pub version: String,
    /// Where it was found.
    pub origin: Origin,
}

/// Why there is no usable library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum LibraryError {
    #[error("no ONNX Runtime library: {} {what} does not exist or holds none", path.display())]
    Missing { what: &'static str, path: PathBuf },
    #[error(
        "no ONNX Runtime library was found; give --onnxruntime PATH, set ORT_DYLIB_PATH, or run `cargo xtask onnxruntime`, \
         which fetches it (looked in: {looked})"
    )]
    NotFound { looked: String },
    #[error("{} is not a library that can be loaded", path.display())]
    Open { path: PathBuf, source: libloading::Error },
    #[error("{} is not ONNX Runtime: it has no OrtGetApiBase", path.display())]
    Foreign { path: PathBuf },
    #[error("{} is ONNX Runtime {version}, {MINIMUM} or later is needed", path.display())]
    TooOld { path: PathBuf, version: String },
    #[error(
        "this process already uses ONNX Runtime from {}; it cannot take {} as well",
        loaded.display(),
        asked.display()
    )]
    Another { loaded: PathBuf, asked: PathBuf },
    #[error("ONNX Runtime from {} does not start", path.display())]
    Start { path: PathBuf, source: super::Source },
}

/// The library of this process with ONNX Runtime's environment, which lives as long as the process.
struct Loaded {
    library: RuntimeLibrary,
    environment: Environment,
}

static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

/// Finds and loads the library. Later calls give the same one, and refuse another.
pub(super) fn load(given: Option<&Path>) -> Result<RuntimeLibrary, LibraryError> {
    environment(given).map(|(library, _)| library)
}

/// The library and its environment.
pub(super) fn environment(given: Option<&Path>) -> Result<(RuntimeLibrary, Environment), LibraryError> {
    let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(loaded) = &*loaded {
        if let Some(given) = given {
            let asked = named(given, "(given)")?;
            if asked != loaded.library.path {
                return Err(LibraryError::Another { loaded: loaded.library.path.clone(), asked });
            }
        }
        return Ok((loaded.library.clone(), loaded.environment.clone()));
    }
    let library = find(given)?;
    let start = |source: super::Source| LibraryError::Start { path: library.path.clone(), source };
    let environment = super::guard::catch(|| {
        let builder = ::ort::init_from(&library.path)?;
        Ok(builder.with_name("mbsd").with_telemetry(false).build()?)
    })
    .map_err(start)?;
    *loaded = Some(Loaded { library: library.clone(), environment: environment.clone() });
    Ok((library, environment))
}

/// The first library of the search order, checked.
fn find(given: Option<&Path>) -> Result<RuntimeLibrary, LibraryError> {
    if let Some(given) = given {
        return checked(named(given, "(given)")?, Origin::Given);
    }
    if let Some(path) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return checked(named(Path::new(&path), "(from ORT_DYLIB_PATH)")?, Origin::Variable);
    }
    let folders: Vec<PathBuf> = std::env::current_exe()
        .map(|program| program.ancestors().skip(1).take(FOLDERS_ABOVE).map(Path::to_owned).collect())
        .unwrap_or_default();
    if let Some(found) = folders.first().and_then(|folder| in_folder(folder)) {
        return checked(found, Origin::Beside);
    }
    if let Some(found) = folders.iter().find_map(|folder| fetched(&folder.join("onnxruntime"))) {
        return checked(found, Origin::Fetched);
    }
    for name in system_names() {
        match checked(PathBuf::from(name), Origin::System) {
            Err(LibraryError::Open { .. }) => {}
            outcome => return outcome,
        }
    }
    let mut looked: Vec<String> = folders.first().map(|folder| folder.display().to_string()).into_iter().collect();
    looked.extend(folders.iter().map(|folder| folder.join("onnxruntime").display().to_string()));
    looked.push("the system's library path".to_owned());
    Err(LibraryError::NotFound { looked: looked.join(", ") })
}

/// An absolute path of the library that a file or folder names.
fn named(path: &Path, what: &'static str) -> Result<PathBuf, LibraryError> {
    let missing = || LibraryError::Missing { what, path: path.to_owned() };
    let found = if path.is_dir() { in_folder(path).ok_or_else(missing)? } else { path.to_owned() };
    found.canonicalize().map_err(|_: io::Error| missing())
}

/// The library in `folder/<version>/`, the latest version first, or in the folder itself.
fn fetched(folder: &Path) -> Option<PathBuf> {
    let mut versions: Vec<(Vec<u64>, PathBuf)> = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let numbers: Result<Vec<u64>, _> = name.to_str()?.split('.').map(str::parse).collect();
            Some((numbers.ok()?, entry.path()))
        })
        .collect();
    versions.sort();
    versions.iter().rev().find_map(|(_, path)| in_folder(path)).or_else(|| in_folder(folder))
}

/// The library in a folder: the plain name, else one with a version behind it.
fn in_folder(folder: &Path) -> Option<PathBuf> {
    let name = plain_name();
    let plain = folder.join(&name);
    if plain.is_file() {
        return plain.canonicalize().ok();
    }
    let versioned = |file: &str| {
        file.strip_prefix(&name).is_some_and(|rest| {
            rest.strip_prefix('.').is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
        })
    };
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(versioned))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop().and_then(|path| path.canonicalize().ok())
}

fn plain_name() -> String {
    format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

fn system_names() -> Vec<String> {
    let plain = plain_name();
    if cfg!(target_os = "linux") { vec![format!("{plain}.1"), plain] } else { vec![plain] }
}

/// A library that answers as ONNX Runtime and is recent enough.
fn checked(path: PathBuf, origin: Origin) -> Result<RuntimeLibrary, LibraryError> {
    let (version, serves) = probe::version(&path)?;
    if serves { Ok(RuntimeLibrary { path, version, origin }) } else { Err(LibraryError::TooOld { path, version }) }
}

/// The one place that calls into a library by hand. `ort` makes the same calls, but panics where an answer is null.
#[allow(unsafe_code)]
mod probe {
    use std::ffi::CStr;
    use std::path::Path;

    use ::ort::sys::{ORT_API_VERSION, OrtApiBase};
    use libloading::{Library, Symbol};

    use super::LibraryError;

    /// The version, and whether the library speaks the API that `ort` was built for.
    pub(super) fn version(path: &Path) -> Result<(String, bool), LibraryError> {
        let foreign = || LibraryError::Foreign { path: path.to_owned() };
        // SAFETY: loading runs the library's initialisers. The path is the user's own choice or an installed library, as
        // with any plugin; nothing from a bundle or from data gets here.
        let library =
            unsafe { Library::new(path) }.map_err(|source| LibraryError::Open { path: path.to_owned(), source })?;
        // SAFETY: every ONNX Runtime since 1.0 exports this symbol with this signature.
        let base: Symbol<'_, unsafe extern "system" fn() -> *const OrtApiBase> =
            unsafe { library.get(b"OrtGetApiBase\0") }.map_err(|_| foreign())?;
        // SAFETY: the function takes nothing and gives null or a pointer to a static of the library, which stays loaded
        // until the end of this function.
        let base = unsafe { base().as_ref() }.ok_or_else(foreign)?;
        // SAFETY: as above; the text is a static of the library and is copied out.
        let version = unsafe { (base.GetVersionString)().as_ref().map(|text| CStr::from_ptr(text)) };
        let version = version.ok_or_else(foreign)?.to_string_lossy().into_owned();
        // SAFETY: as above; null for a version that the library does not know.
        let serves = !unsafe { (base.GetApi)(ORT_API_VERSION) }.is_null();
        Ok((version, serves))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_latest_fetched_version_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        assert_eq!(fetched(&root), None);
        let put = |relative: &str| {
            let path = root.join(relative);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        };
        let name = plain_name();
        let older = put(&format!("1.9.2/{name}"));
        assert_eq!(fetched(&root), Some(older));
        let newer = put(&format!("1.31.1/{name}.1.31.1"));
        put(&format!("notes/{name}"));
        assert_eq!(fetched(&root), Some(newer), "1.31 comes after 1.9");
    }

    #[test]
    fn a_folder_gives_the_library_in_it_and_nothing_like_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let name = plain_name();
        for other in [format!("{name}_providers"), format!("{name}.bak"), "libonnxruntime_providers_cuda.so".to_owned()]
        {
            fs::write(root.join(other), "").unwrap();
        }
        assert_eq!(in_folder(&root), None);
        assert!(matches!(named(&root, "(given)"), Err(LibraryError::Missing { .. })));
        fs::write(root.join(format!("{name}.1.24.0")), "").unwrap();
        assert_eq!(in_folder(&root), Some(root.join(format!("{name}.1.24.0"))));
        fs::write(root.join(&name), "").unwrap();
        assert_eq!(named(&root, "(given)").unwrap(), root.join(&name), "the plain name comes first");
    }
}
