//! Opening a bundle: nothing of it is used before every digest was checked.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::manifest::{Artifact, Manifest, SCHEMA_VERSION};
use super::{names, sha256_file};
use crate::config::{Config, ConfigError};
use crate::task::{Precision, Task, Variant};

/// The largest manifest that is read.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// An opened bundle whose files were all found as the manifest describes them.
#[derive(Debug, Clone)]
pub struct Bundle {
    root: PathBuf,
    manifest: Manifest,
    config: Config,
}

/// A bundle that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The folder or its manifest is not there.
    #[error("{} is not a bundle: {reason}", path.display())]
    NotABundle {
        /// The folder.
        path: PathBuf,
        /// What was expected.
        reason: String,
    },
    /// There is something where a folder was to be written.
    #[error("{}: the folder is not empty; give a new or an empty one", path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is not what this version reads.
    #[error("{}: {reason}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A path in the manifest leads out of the bundle.
    #[error("bundle path `{0}` leads out of the bundle: refused")]
    Escape(String),
    /// A file differs from what the manifest vouches for.
    #[error("{}: {reason}; the bundle was changed or cut after export, fetch or export it again", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The bundle's `config.json` is unusable.
    #[error("the bundle's config.json is unusable")]
    Config(#[from] ConfigError),
    /// The bundle has no such graph.
    #[error("the bundle has no {precision} {variant} graph; it has: {present}")]
    NoArtifact {
        /// Asked for.
        variant: Variant,
        /// Asked for.
        precision: Precision,
        /// What there is.
        present: String,
    },
}

impl Bundle {
    /// Opens a bundle and checks the digest of every file in it.
    ///
    /// # Errors
    /// See [`BundleError`]. No file but the manifest is interpreted before all digests were found right.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, BundleError> {
        let root = root.as_ref();
        let manifest = read_manifest(root)?;
        for artifact in &manifest.artifacts {
            if !manifest.files.contains_key(&artifact.path) {
                return Err(BundleError::Manifest {
                    path: root.join(names::MANIFEST),
                    reason: format!("artifact `{}` is not among the files", artifact.path),
                });
            }
        }
        for (relative, digest) in &manifest.files {
            let path = inside(root, relative)?;
            let found = sha256_file(&path).map_err(|source| BundleError::Io { path: path.clone(), source })?;
            if found != *digest {
                return Err(BundleError::Digest { path, reason: format!("SHA-256 is {found}, not {digest}") });
            }
        }
        if !manifest.files.contains_key(names::CONFIG) {
            return Err(BundleError::Manifest {
                path: root.join(names::MANIFEST),
                reason: format!("{} is not among the files", names::CONFIG),
            });
        }
        let config = Config::from_file(inside(root, names::CONFIG)?)?;
        Ok(Self { root: root.to_owned(), manifest, config })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the bundle says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the model answers.
    pub fn task(&self) -> Task {
        self.manifest.task
    }

    /// The architecture.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The graph of a variant in a precision, and its file.
    ///
    /// # Errors
    /// [`BundleError::NoArtifact`] names what there is.
    pub fn artifact(&self, variant: Variant, precision: Precision) -> Result<(&Artifact, PathBuf), BundleError> {
        match self.manifest.artifact(variant, precision) {
            Some(artifact) => Ok((artifact, inside(&self.root, &artifact.path)?)),
            None => Err(BundleError::NoArtifact {
                variant,
                precision,
                present: match self.manifest.artifacts.as_slice() {
                    [] => "no graphs".to_owned(),
                    all => all.iter().map(|a| format!("{} {}", a.precision, a.variant)).collect::<Vec<_>>().join(", "),
                },
            }),
        }
    }

    /// A file by its name inside the bundle, `None` where the manifest lists none.
    ///
    /// # Errors
    /// [`BundleError::Escape`] for a path that leads out of the bundle.
    pub fn file(&self, relative: &str) -> Result<Option<PathBuf>, BundleError> {
        if self.manifest.files.contains_key(relative) { inside(&self.root, relative).map(Some) } else { Ok(None) }
    }
}

fn read_manifest(root: &Path) -> Result<Manifest, BundleError> {
    let path = root.join(names::MANIFEST);
    let size = match std::fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.kind() == io::ErrorKind::NotADirectory => {
            return Err(BundleError::NotABundle {
                path: root.to_owned(),
                reason: format!("it has no {}; give a folder written by `mbsd export`", names::MANIFEST),
            });
        }
        Err(source) => return Err(BundleError::Io { path, source }),
    };
    let wrong = |reason: String| BundleError::Manifest { path: path.clone(), reason };
    if size > MAX_MANIFEST_BYTES {
        return Err(wrong(format!("{size} bytes is over the limit of {MAX_MANIFEST_BYTES} for a manifest")));
    }
    let text = std::fs::read(&path).map_err(|source| BundleError::Io { path: path.clone(), source })?;
    let value: serde_json::Value =
        serde_json::from_slice(&text).map_err(|e| wrong(format!("not a manifest, the JSON is broken or cut: {e}")))?;
    match value.get("schema_version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(SCHEMA_VERSION) => {}
        Some(version) => {
            return Err(wrong(format!(
                "schema version {version}, this build reads {SCHEMA_VERSION}; export again or use a matching build"
            )));
        }
        None => return Err(wrong("no `schema_version`".to_owned())),
    }
    serde_json::from_value(value).map_err(|e| wrong(format!("not a manifest: {e}")))
}

/// `root/relative`, if that is a plain path that stays inside, also through symbolic links.
fn inside(root: &Path, relative: &str) -> Result<PathBuf, BundleError> {
    let escape = || BundleError::Escape(relative.to_owned());
    let plain = !relative.is_empty()
        && !relative.contains('\\')
        && Path::new(relative).components().all(|c| matches!(c, Component::Normal(_)));
    if !plain {
        return Err(escape());
    }
    let path = root.join(relative);
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| BundleError::Io { path, source }
    };
    let real_root = root.canonicalize().map_err(io(root))?;
    let real = path.canonicalize().map_err(io(&path))?;
    if !real.starts_with(&real_root) {
        return Err(escape());
    }
    Ok(path)
}
