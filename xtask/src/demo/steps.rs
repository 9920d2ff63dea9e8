//! The steps of the demo, each a command line of `mbsd`.

use std::fs;
use std::process::Command;

use anyhow::Result;
use serde_json::Value as Json;

use super::results::{number, parity, parse};
use super::{Demo, QUICK_EPOCHS, VARIANTS};
use crate::catalogue::attributes::{ATTRIBUTES, Attribute};
use crate::catalogue::questions_file;
use crate::report::{Measurement, Throughput};
use crate::workspace::{execute, line, output};

impl Demo<'_> {
    /// A model from nothing, by the run file that lies in this crate.
    pub(super) fn train(&self, quick: bool) -> Result<()> {
        let mut command = self.mbsd(&["train", "finetune", "--config", "xtask/demo.toml"]);
        let catalogue = |name: &str| self.file(&format!("catalogue/{name}"));
        for setting in [
            format!("output={}", self.file("run")),
            format!("data.train={}", catalogue("train.jsonl")),
            format!("data.validation={}", catalogue("validation.jsonl")),
            format!("match.tags={}", catalogue("tags.txt")),
        ] {
            command.args(["--set", &setting]);
        }
        if quick {
            command.args(["--set", &format!("training.epochs={QUICK_EPOCHS}")]);
        }
        self.show_and_run(command)
    }

    pub(super) fn export(&self) -> Result<()> {
        let (checkpoint, bundle) = (self.file("run/best"), self.file("bundle"));
        let variants = VARIANTS.join(",");
        self.show_and_run(self.mbsd(&[
            "export",
            "--checkpoint",
            &checkpoint,
            "--task",
            "match",
            "--variants",
            &variants,
            "--out",
            &bundle,
        ]))
    }

    /// Tags the held-out products on every engine.
    pub(super) fn tag(&self) -> Result<Vec<Throughput>> {
        self.engines()
            .iter()
            .map(|&engine| {
                let summary = self.show_and_parse(self.mbsd(&[
                    "tag",
                    "--bundle",
                    &self.file("bundle"),
                    "--input",
                    &self.file("catalogue/held-out.jsonl"),
                    "--tags",
                    &self.file("catalogue/tags.txt"),
                    "--threshold",
                    "0",
                    "--output",
                    &self.file(&self.tagged_name(engine)),
                    "--engine",
                    engine,
                    "--json",
                ]))?;
                Ok(Throughput { engine, products_per_second: number(&summary, "products_per_second")? })
            })
            .collect()
    }

    /// File of an engine's tags.
    pub(super) fn tagged_name(&self, engine: &str) -> String {
        format!("tagged-{engine}.jsonl")
    }

    /// Every graph on every engine, over all questions and over those of each attribute.
    pub(super) fn measure(&self) -> Result<Vec<Measurement>> {
        let manifest = parse(&fs::read_to_string(self.folder.join("bundle/manifest.json"))?)?;
        let mut measurements: Vec<Measurement> = Vec::new();
        for &engine in self.engines() {
            for variant in VARIANTS {
                let all = self.eval(engine, variant, None)?;
                // Engines agree within rounding, so one of them is asked about the attributes.
                let by_attribute = match measurements.iter().find(|m| m.variant == variant) {
                    Some(earlier) => earlier.by_attribute.clone(),
                    None => ATTRIBUTES
                        .into_iter()
                        .map(|attribute| {
                            Ok((attribute, number(&self.eval(engine, variant, Some(attribute))?, "roc_auc")?))
                        })
                        .collect::<Result<_>>()?,
                };
                measurements.push(Measurement {
                    variant,
                    engine,
                    auc: number(&all, "roc_auc")?,
                    by_attribute,
                    rows_per_second: number(&all, "products_per_second")?,
                    parity: parity(&manifest, engine, variant),
                });
            }
        }
        Ok(measurements)
    }

    /// `mbsd eval`. The questions about all attributes are shown as a command, those about one are not.
    fn eval(&self, engine: &str, variant: &str, attribute: Option<&Attribute>) -> Result<Json> {
        let questions = self.file(&format!("catalogue/{}", questions_file(attribute)));
        let mut command = self.mbsd(&["eval", "--bundle", &self.file("bundle"), "--input", &questions]);
        command.args(["--variant", variant, "--engine", engine, "--json"]);
        if attribute.is_none() {
            self.show(&command);
        }
        parse(&output(&mut command)?)
    }

    /// `mbsd`, which hands over to its sisters, run in the workspace's folder.
    fn mbsd(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.workspace.program_path("mbsd"));
        command.args(arguments).current_dir(&self.workspace.root);
        command
    }

    fn show(&self, command: &Command) {
        println!("$ {}", line(command));
    }

    fn show_and_parse(&self, mut command: Command) -> Result<Json> {
        self.show(&command);
        parse(&output(&mut command)?)
    }

    fn show_and_run(&self, mut command: Command) -> Result<()> {
        self.show(&command);
        execute(&mut command)
    }
}
