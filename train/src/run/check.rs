//! What can be checked before any data are read.

use std::path::{Path, PathBuf};

use mbsd_data::input_files;
use mbsd_net::STANDARD_DEVIATION;
use mbsd_spec::{Architecture, Attention, Config, Task};

use super::{ArithmeticName, Objective, Run, TeacherSettings};
use crate::TrainError;
use crate::checkpoint::{LAST, State, read_config};

impl Run {
    /// Checks what can be checked without reading data.
    pub(super) fn check(&self) -> Result<(), TrainError> {
        let wrong = |place: &str, reason: String| Err(TrainError::run(place, reason));
        self.check_tables()?;
        // What a run starts from is not needed any more once it has a checkpoint of its own.
        let begun = read_config(&self.output.join(LAST)).ok();
        self.check_files(begun.is_some())?;
        // A vocabulary as large as any, so that the other dimensions are checked before one is trained.
        let config = match begun {
            Some(config) => config,
            None => {
                let config = self.config(self.tokenizer.vocab_size.max(1))?;
                self.check_dimensions(&config)?;
                config
            }
        };
        self.check_architecture(config.architecture)?;
        self.check_attention(config.attention)?;
        self.check_teacher(&config)?;
        if self.model.weights.is_some() && self.tokenizer.file.is_none() {
            let reason = "model.weights belong to a vocabulary: give its vocab.txt or tokenizer.json";
            return wrong("tokenizer.file", reason.into());
        }
        let share = |place: &str, value: f64, most: f64| {
            if (0.0..=most).contains(&value) {
                Ok(())
            } else {
                wrong(place, format!("{value} is not between 0 and {most}"))
            }
        };
        let positive = |place: &str, value: usize| if value > 0 { Ok(()) } else { wrong(place, "0 is too few".into()) };
        let training = &self.training;
        positive("training.epochs", training.epochs)?;
        positive("training.batch_size", training.batch_size)?;
        positive("training.log_every", training.log_every)?;
        share("training.without_text", training.without_text, 1.0)?;
        share("training.without_image", training.without_image, 1.0)?;
        share("training.without_text + training.without_image", training.without_text + training.without_image, 1.0)?;
        share("training.label_smoothing", training.label_smoothing, 0.5)?;
        share("training.crop", training.crop, 1.0)?;
        positive("training.keep", training.keep)?;
        positive("data.validation_products", self.data.validation_products.unwrap_or(1))?;
        let pairs = self.stage2.as_ref().and_then(|stage| stage.pairs_per_epoch);
        positive("stage2.pairs_per_epoch", pairs.unwrap_or(1))?;
        positive("match.tags_per_product", self.matching.as_ref().map_or(1, |settings| settings.tags_per_product))?;
        positive("training.checkpoint_steps", training.checkpoint_steps.unwrap_or(1))?;
        positive("optimizer.accumulation", self.optimizer.accumulation)?;
        if !(training.checkpoint_minutes > 0.0 && training.checkpoint_minutes.is_finite()) {
            return wrong("training.checkpoint_minutes", "it must be a number above 0".into());
        }
        if training.crop == 0.0 {
            return wrong("training.crop", "0 would leave nothing of an image; 1 takes whole images".into());
        }
        if let Some(stage1) = &self.stage1 {
            share("stage1.tokens", stage1.tokens, 1.0)?;
            share("stage1.patches", stage1.patches, 1.0)?;
            if stage1.tokens + stage1.patches == 0.0 {
                return wrong("stage1", "neither tokens nor patches are to be predicted".into());
            }
        }
        share("data.max_bad_rows", self.data.max_bad_rows, 1.0)?;
        let optimizer = &self.optimizer;
        share("optimizer.warm_up", optimizer.warm_up, 1.0)?;
        share("optimizer.betas", optimizer.betas[0], 0.999_999)?;
        share("optimizer.betas", optimizer.betas[1], 0.999_999)?;
        share("optimizer.weight_decay", optimizer.weight_decay, 1.0)?;
        share("optimizer.clip_norm", optimizer.clip_norm, 1e9)?;
        for (place, value) in [
            ("optimizer.learning_rate", optimizer.learning_rate),
            ("optimizer.epsilon", optimizer.epsilon),
            ("model.initializer_range", self.model.initializer_range.unwrap_or(STANDARD_DEVIATION)),
        ] {
            if !(value > 0.0 && value < 1.0) {
                return wrong(place, format!("{value} is not between 0 and 1"));
            }
        }
        Ok(())
    }

    /// Checks that what it reads is there; what it starts from only where it has not `begun`.
    fn check_files(&self, begun: bool) -> Result<(), TrainError> {
        let [mut tables, mut files] = [Vec::new(), Vec::new()];
        tables.extend([("data.train", Some(&self.data.train)), ("data.validation", Some(&self.data.validation))]);
        if let Some(stage) = &self.stage2 {
            let [pairs, validation] = [&stage.pairs, &stage.validation_pairs].map(Option::as_ref);
            tables.extend([("stage2.pairs", pairs), ("stage2.validation_pairs", validation)]);
        }
        if let Some(task) = &self.alignment {
            let [pairs, validation] = [&task.pairs, &task.validation_pairs].map(Option::as_ref);
            tables.extend([("alignment.pairs", pairs), ("alignment.validation_pairs", validation)]);
        }
        if let Some(task) = &self.matching {
            let [pairs, validation] = [&task.pairs, &task.validation_pairs].map(Option::as_ref);
            tables.extend([("match.pairs", pairs), ("match.validation_pairs", validation)]);
            files.push(("match.tags", task.tags.as_ref()));
        }
        files.push(("data.images", self.data.images.as_ref()));
        files.extend(self.classification.iter().map(|task| ("classification.labels", task.labels.as_ref())));
        files.extend(self.teacher.iter().map(|teacher| ("teacher.checkpoint", Some(&teacher.checkpoint))));
        if !begun {
            let model = &self.model;
            files.extend([
                ("model.config", model.config.as_ref()),
                ("model.weights", model.weights.as_ref()),
                ("model.checkpoint", model.checkpoint.as_ref()),
                ("tokenizer.file", self.tokenizer.file.as_ref()),
            ]);
        }
        for (key, table) in tables {
            let Some(table) = table else { continue };
            let found = input_files(table).map_err(|error| TrainError::run(key, error.to_string()))?;
            found.iter().try_for_each(|file| is_there(key, file))?;
        }
        files.into_iter().filter_map(|(key, file)| Some((key, file?))).try_for_each(|(key, file)| is_there(key, file))
    }

    /// Networks that MBSD is compared with learn tasks, from the beginning or, as BERT, from a BERT's weights.
    fn check_architecture(&self, architecture: Architecture) -> Result<(), TrainError> {
        let reason = if architecture == Architecture::Mbsd {
            return Ok(());
        } else if !self.objective.is_task() {
            format!("{architecture} has no {} of its own: it is trained for tasks", self.objective)
        } else if self.model.checkpoint.is_some() {
            format!("{architecture} does not start from a checkpoint of MBSD")
        } else if self.model.weights.is_some() && architecture != Architecture::Bert {
            format!("{architecture} does not start from other weights")
        } else if self.training.arithmetic != ArithmeticName::F32 {
            format!("{architecture} is trained in single precision: leave out training.arithmetic")
        } else {
            return Ok(());
        };
        Err(TrainError::run("model.architecture", reason))
    }

    /// One-way attention is between a tag or query and a product.
    fn check_attention(&self, attention: Attention) -> Result<(), TrainError> {
        if attention == Attention::Full || self.objective.task() == Task::Match {
            return Ok(());
        }
        let reason = format!("`{}` has no tags or queries for one-way attention: set it to full", self.objective);
        Err(TrainError::run("model.attention", reason))
    }

    /// What a teacher answers are the questions of a task.
    fn check_teacher(&self, config: &Config) -> Result<(), TrainError> {
        let Some(teacher) = &self.teacher else { return Ok(()) };
        if !self.objective.is_task() {
            let reason = format!("`{}` learns without one: leave it out", self.objective);
            return Err(TrainError::run("teacher", reason));
        }
        teacher.check()?;
        // A teacher need not be of this project's training; then its head tells, once it is read.
        if let Ok(State { run, .. }) = State::read(&teacher.checkpoint)
            && run.objective != self.objective
        {
            let reason = format!("it answers `{}`, and the run asks `{}`", run.objective, self.objective);
            return Err(TrainError::run("teacher.checkpoint", reason));
        }
        TeacherSettings::check_fits(&read_config(&teacher.checkpoint)?, config)
    }

    /// Weights of a checkpoint fit a model of its dimensions.
    fn check_dimensions(&self, config: &Config) -> Result<(), TrainError> {
        let Some(folder) = &self.model.checkpoint else { return Ok(()) };
        let known = read_config(folder)?;
        for (key, wanted, known) in [
            ("model.hidden_size", config.hidden_size, known.hidden_size),
            ("model.intermediate_size", config.intermediate_size, known.intermediate_size),
            ("model.max_position_embeddings", config.max_position_embeddings, known.max_position_embeddings),
            ("model.image_size", config.image_size, known.image_size),
            ("model.patch_size", config.patch_size, known.patch_size),
        ] {
            if wanted != known {
                let reason = format!("{wanted}, and the weights of model.checkpoint are of {known}: leave it out");
                return Err(TrainError::run(key, reason));
            }
        }
        Ok(())
    }

    /// There must be the objective's own table, and no other.
    fn check_tables(&self) -> Result<(), TrainError> {
        let tables = [
            (Objective::Stage1, self.stage1.is_some()),
            (Objective::Stage2, self.stage2.is_some()),
            (Objective::Match, self.matching.is_some()),
            (Objective::Classification, self.classification.is_some()),
            (Objective::Alignment, self.alignment.is_some()),
        ];
        for (objective, given) in tables {
            // All keys of [stage1] have defaults.
            let needed = objective == self.objective && objective != Objective::Stage1;
            if needed && !given || given && objective != self.objective {
                let reason = format!("`{0}` needs the table [{0}], and no table of another objective", self.objective);
                return Err(TrainError::run("objective", reason));
            }
        }
        if self.model.checkpoint.is_some() && (self.model.weights.is_some() || self.model.config.is_some()) {
            return Err(TrainError::run(
                "model.checkpoint",
                "it has weights and dimensions: leave out weights and config",
            ));
        }
        self.check_rows()
    }

    /// There must be one account of the rows of stage 2, match or alignment.
    fn check_rows(&self) -> Result<(), TrainError> {
        let wrong = |place: &str, reason: &str| Err(TrainError::run(place, reason));
        let accounts = |pairs: [&Option<PathBuf>; 2], own: bool| match pairs.map(Option::is_some) {
            [true, true] => !own,
            [false, false] => own,
            _ => false,
        };
        if let Some(stage) = &self.stage2 {
            if !accounts([&stage.pairs, &stage.validation_pairs], stage.query_column.is_some()) {
                return wrong("stage2", "it needs pairs and validation_pairs, or query_column");
            }
            if stage.label_column.is_some() && stage.query_column.is_none() {
                return wrong("stage2.label_column", "it goes with query_column; in files of pairs it is `label`");
            }
        }
        if let Some(task) = &self.alignment {
            let own = [&task.source_columns, &task.target_columns].map(Option::is_some);
            if own[0] != own[1] || !accounts([&task.pairs, &task.validation_pairs], own[0]) {
                let reason = "it needs pairs and validation_pairs, or source_columns and target_columns";
                return wrong("alignment", reason);
            }
            if task.label_column.is_some() && !own[0] {
                return wrong("alignment.label_column", "it goes with source_columns; in files of pairs it is `label`");
            }
        }
        if let Some(task) = &self.matching {
            let own = task.tag_column.is_some();
            let pairs = [&task.pairs, &task.validation_pairs];
            let one = match task.tags {
                Some(_) => !own && pairs == [&None, &None],
                None => task.attributes.is_empty() && accounts(pairs, own),
            };
            if !one {
                return wrong("match", "it needs tags and attributes, or pairs and validation_pairs, or tag_column");
            }
            if task.tags.is_some() && task.attributes.is_empty() {
                let reason = "name the columns of the tags, such as attributes = { Colour = \"colour\" }";
                return wrong("match", reason);
            }
            if task.tags.is_none() && task.tags_per_product > 1 {
                let reason = "it draws from attributes; else the rows say which tags a product has";
                return wrong("match.tags_per_product", reason);
            }
            if task.label_column.is_some() && !own {
                return wrong("match.label_column", "it goes with tag_column; in files of pairs it is `label`");
            }
        }
        Ok(())
    }
}

/// That the file or folder which a key names can be found.
fn is_there(key: &str, path: &Path) -> Result<(), TrainError> {
    let unreadable = |error| TrainError::run(key, format!("cannot read {}: {error}", path.display()));
    std::fs::metadata(path).map(drop).map_err(unreadable)
}
