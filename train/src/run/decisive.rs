//! What decides the outcome of a run, and where two runs differ in it.

use std::path::Path;

use serde_json::{Map, Value};

use super::Run;

/// Keys that change nothing in the outcome: where it lies, how often it is logged and kept, what memory it takes, and how many
/// unusable rows are put up with.
const WITHOUT_EFFECT: [(&str, &[&str]); 3] = [
    ("", &["output"]),
    ("data", &["cache_mib", "max_bad_rows"]),
    ("training", &["log_every", "keep", "checkpoint_minutes", "checkpoint_steps"]),
];

/// Keys that hold checkpoints: the same folder may be written in several ways.
const FOLDERS: [(&str, &str); 2] = [("model", "checkpoint"), ("teacher", "checkpoint")];

/// A key by which runs differ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// As `table.key`.
    pub(crate) key: String,
    /// Its value in the first run, and in the second; null where it has none.
    pub(crate) values: [Value; 2],
}

impl Run {
    /// All that decides the outcome.
    pub(crate) fn decisive(&self) -> Map<String, Value> {
        let run = serde_json::to_value(self).expect("structs of plain fields are JSON");
        let Value::Object(mut run) = run else { unreachable!("a struct is an object") };
        for (table, keys) in WITHOUT_EFFECT {
            let table = if table.is_empty() { Some(&mut run) } else { run[table].as_object_mut() };
            if let Some(table) = table {
                table.retain(|key, _| !keys.contains(&key.as_str()));
            }
        }
        run
    }

    /// The first key that makes a difference to the outcome.
    pub(crate) fn difference(&self, other: &Self) -> Option<Difference> {
        let [mut ours, mut theirs] = [self, other].map(Self::decisive);
        for run in [&mut ours, &mut theirs] {
            for (table, key) in FOLDERS {
                if let Some(folder) = run.get_mut(table).and_then(|table| table.get_mut(key)) {
                    *folder = absolute(folder);
                }
            }
        }
        difference("", &Value::Object(ours), &Value::Object(theirs))
    }
}

fn absolute(folder: &Value) -> Value {
    let path = folder.as_str().map(Path::new);
    let found = path.and_then(|path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok());
    found.map_or_else(|| folder.clone(), |path| path.display().to_string().into())
}

fn difference(key: &str, ours: &Value, theirs: &Value) -> Option<Difference> {
    if let (Value::Object(ours), Value::Object(theirs)) = (ours, theirs) {
        let names = ours.keys().chain(theirs.keys().filter(|&name| !ours.contains_key(name)));
        let inner = |name: &String| if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        let value = |run: &Map<String, Value>, name: &String| run.get(name).cloned().unwrap_or_default();
        return names.into_iter().find_map(|name| difference(&inner(name), &value(ours, name), &value(theirs, name)));
    }
    // Reading a number back from JSON may change its last bit.
    let close = |ours: f64, theirs: f64| (ours - theirs).abs() <= 1e-12 * ours.abs().max(theirs.abs());
    let equal = ours == theirs || ours.as_f64().zip(theirs.as_f64()).is_some_and(|(ours, theirs)| close(ours, theirs));
    (!equal).then(|| Difference { key: key.to_owned(), values: [ours.clone(), theirs.clone()] })
}
