//! `mbsd tag`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Read, Stdin, Write, stderr, stdin, stdout};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use mbsd_data::{Candidates, DuplicateIds, Keep, Products, read_candidates};
use mbsd_runtime::job::{self, Catalogue, Destination, Model, TagOptions};
use mbsd_spec::bundle::sha256_file;
use serde_json::json;

use super::catalogue::{self, Arguments};
use crate::cli::{InputArgs, Setting, ShardedOutputArgs, TagArgs};

pub(crate) fn run(args: TagArgs) -> anyhow::Result<()> {
    let candidates = read_candidates(&args.tags)?;
    let (top, top_of) = settings(&args.top, NonZeroUsize::get);
    let (threshold, threshold_of) = settings(&args.threshold, |probability| probability.0);
    let options = TagOptions { top, top_each: args.top_each.map(NonZeroUsize::get), top_of, threshold, threshold_of };
    let model = catalogue::open_model(&args.bundle, &args.engine)?;
    let (Some(input), Some(output)) = (args.input.clone(), args.output.clone()) else {
        return filter(&args, &model, &candidates, &options);
    };
    let input = InputArgs { input, products: args.products };
    let output = ShardedOutputArgs { output, shards: args.shards };
    let arguments = Arguments { bundle: &args.bundle, input: &input, engine: &args.engine };
    let own = json!({
        "command": "tag",
        "tags": sha256_file(&args.tags).with_context(|| format!("cannot read {}", args.tags.display()))?,
        "top": options.top,
        "top_each": options.top_each,
        "top_of": options.top_of,
        "threshold": options.threshold,
        "threshold_of": options.threshold_of,
    });
    catalogue::run_sharded(&arguments, &output, own, |job| job::tag(&model, &candidates, &options, job))
}

/// The value for all tags, and those by attribute.
fn settings<T: Copy, U>(given: &[Setting<T>], value: impl Fn(T) -> U) -> (Option<U>, BTreeMap<String, U>) {
    let (mut all, mut by_attribute) = (None, BTreeMap::new());
    for setting in given {
        let value = value(setting.value);
        match &setting.attribute {
            None => all = Some(value),
            Some(name) => {
                by_attribute.insert(name.clone(), value);
            }
        }
    }
    (all, by_attribute)
}

/// Answers one stream of products after the other, with graphs that stay loaded.
fn filter(args: &TagArgs, model: &Model, candidates: &Candidates, options: &TagOptions) -> anyhow::Result<()> {
    let input = Shared(Arc::new(Mutex::new(BufReader::with_capacity(1 << 16, stdin()))));
    let output: Mutex<Box<dyn Write + Send>> = Mutex::new(Box::new(BufWriter::with_capacity(1 << 16, stdout())));
    let product_options = args.products.options(Keep::All, DuplicateIds::Refuse);
    let session = args.engine.session_options();
    while !input.is_at_end().context("cannot read the standard input")? {
        let products = Products::read_arrow("the standard input", Box::new(input.clone()), &product_options)?;
        let summary = job::tag(
            model,
            candidates,
            options,
            Catalogue {
                products,
                input: Path::new("-"),
                output: Destination::Stream(&output),
                max_errors: args.shards.max_errors,
                session: &session,
                workers: catalogue::workers(&args.engine),
                progress: &|_| (),
            },
        )?;
        let _ = writeln!(stderr(), "{summary}");
    }
    Ok(())
}

/// The standard input, of which each stream takes its part.
#[derive(Clone)]
struct Shared(Arc<Mutex<BufReader<Stdin>>>);

impl Shared {
    fn is_at_end(&self) -> std::io::Result<bool> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_buf()?.is_empty())
    }
}

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(buffer)
    }
}
