//! From module paths (`encoder.layer.3.attention.query.weight`) to the released model's names
//! (`bert.encoder.layer.3.attention.self.query.weight`), and from other checkpoints' names to those.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use mbsd_spec::Task;

use crate::model::Mbsd;
use crate::network::Network;

/// The image head of stage 1: a 1 x 1 convolution there, a linear map here.
const PATCH_HEAD: &str = "cls.img_decoder.0";

/// Names that files give the stage-1 text head's weights a second time, and the names they have here: its map to the
/// vocabulary is the table of word vectors.
pub(super) const TIED: [(&str, &str); 2] = [
    ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
    ("cls.predictions.decoder.bias", "cls.predictions.bias"),
];

/// Whether a tensor belongs to [`crate::Reconstruction`], by the released model's name.
pub(super) fn is_reconstruction(name: &str) -> bool {
    name.starts_with("cls.") || name == "bert.img_embeddings.mask_token"
}

/// The shape on disk of a parameter: linear maps lie transposed, and the patch head has a kernel.
pub(super) fn disk_shape(name: &str, mut shape: Vec<usize>, linear_weight: bool) -> Vec<usize> {
    if linear_weight {
        shape.reverse();
        if name.strip_prefix(PATCH_HEAD) == Some(".weight") {
            shape.extend([1, 1]);
        }
    }
    shape
}

/// The released model's name of the parameter at a module path, `None` for a path that no [`Mbsd`] has.
///
/// The match head is called `classifier` there, the heads of the other tasks `proj`.
pub fn released_name(path: &str, task: Task) -> Option<String> {
    let mut parts: Vec<&str> = path.split('.').collect();
    let field = match parts.pop()? {
        "gamma" => "weight",
        "beta" => "bias",
        other => other,
    };
    let module = match parts.as_slice() {
        [] if field == "modality" => return Some("bert.modality_embeddings".to_owned()),
        ["image"] => {
            let name = match field {
                "cls" => "cls_token",
                "position" => "position_embeddings",
                _ => return None,
            };
            return Some(format!("bert.img_embeddings.{name}"));
        }
        ["reconstruction"] => match field {
            "mask" => return Some("bert.img_embeddings.mask_token".to_owned()),
            "bias" => "cls.predictions".to_owned(),
            _ => return None,
        },
        ["reconstruction", part] => match *part {
            "transform" => "cls.predictions.transform.dense".to_owned(),
            "norm" => "cls.predictions.transform.LayerNorm".to_owned(),
            "pixels" => PATCH_HEAD.to_owned(),
            _ => return None,
        },
        ["image", "patchify", stage, part] => {
            let offset = match *part {
                "convolution" => 0,
                "norm" => 1,
                _ => return None,
            };
            // A sequence of convolution, LayerNorm, ReLU: three entries a stage.
            let index = 3 * stage.parse::<usize>().ok()? + offset;
            format!("bert.img_embeddings.patch_embeddings.projection.{index}")
        }
        ["embeddings", part] => {
            let part = match *part {
                "word" => "word_embeddings",
                "position" => "position_embeddings",
                "segment" => "token_type_embeddings",
                "norm" => "LayerNorm",
                _ => return None,
            };
            format!("bert.embeddings.{part}")
        }
        ["encoder", "layer", layer, rest @ ..] => {
            let part = match rest {
                ["attention", part @ ("query" | "key" | "value")] => format!("attention.self.{part}"),
                ["attention", "output"] => "attention.output.dense".to_owned(),
                ["attention", "norm"] => "attention.output.LayerNorm".to_owned(),
                ["intermediate"] => "intermediate.dense".to_owned(),
                ["output"] => "output.dense".to_owned(),
                ["norm"] => "output.LayerNorm".to_owned(),
                _ => return None,
            };
            format!("bert.encoder.layer.{layer}.{part}")
        }
        ["pooler", "dense"] => "bert.pooler.dense".to_owned(),
        ["classifier"] => match task {
            Task::Match => "classifier".to_owned(),
            Task::Classification | Task::Alignment => "proj".to_owned(),
        },
        _ => return None,
    };
    Some(format!("{module}.{field}"))
}

/// What the parameter at a module path is called on disk: as in the released model, else after its path.
pub(super) fn disk_name(path: &str, task: Task) -> String {
    released_name(path, task).unwrap_or_else(|| canonical_name(path))
}

/// The released model's name of a tensor in a BERT checkpoint: with or without the `bert.` prefix, LayerNorms with
/// `gamma` and `beta` (older files) or `weight` and `bias`.
pub(super) fn canonical_name(found: &str) -> String {
    let name = match found.rsplit_once('.') {
        Some((module, "gamma")) => format!("{module}.weight"),
        Some((module, "beta")) => format!("{module}.bias"),
        _ => found.to_owned(),
    };
    let bare = ["embeddings.", "encoder.", "pooler.", "img_embeddings."].iter().any(|part| name.starts_with(part));
    if bare || name == "modality_embeddings" { format!("bert.{name}") } else { name }
}

/// Where a traversal of the modules is.
#[derive(Debug, Default)]
pub(super) struct Position {
    names: Vec<String>,
    containers: Vec<String>,
}

impl Position {
    pub(super) fn enter(&mut self, name: &str, container: &str) {
        self.names.push(name.to_owned());
        self.containers.push(container.to_owned());
    }

    pub(super) fn exit(&mut self) {
        self.names.pop();
        self.containers.pop();
    }

    /// The fields on the way here; which of several networks it is, is none.
    pub(super) fn path(&self) -> String {
        let fields = self.names.iter().zip(&self.containers).filter(|(_, container)| !container.starts_with("Enum:"));
        fields.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".")
    }

    /// Whether the parameter here is a linear map, which lies transposed on disk.
    pub(super) fn is_linear_weight(&self) -> bool {
        self.containers.last().is_some_and(|container| container == "Struct:Linear")
            && self.names.last().is_some_and(|name| name == "weight")
    }
}

/// A parameter met by [`visit_parameters`].
#[derive(Debug, Clone)]
pub struct NamedParameter {
    /// Its identity in gradients and optimizers.
    pub id: ParamId,
    /// Its path through the modules' fields.
    pub path: String,
    /// Its name on disk.
    pub name: String,
    /// Its shape in the module.
    pub shape: Vec<usize>,
}

/// Every parameter of a model, in the order of its fields; none is initialized by this.
pub fn visit_parameters(model: &Mbsd) -> Vec<NamedParameter> {
    named_parameters(model, model.head().task())
}

impl Network {
    /// As [`visit_parameters`].
    pub fn parameters(&self) -> Vec<NamedParameter> {
        named_parameters(self, self.head().task())
    }
}

fn named_parameters(model: &impl Module, task: Task) -> Vec<NamedParameter> {
    struct Names {
        position: Position,
        task: Task,
        found: Vec<NamedParameter>,
    }
    impl ModuleVisitor for Names {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.position.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.position.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let path = self.position.path();
            let name = disk_name(&path, self.task);
            self.found.push(NamedParameter { id: param.id, path, name, shape: param.lazy_shape().to_vec() });
        }
    }
    let mut names = Names { position: Position::default(), task, found: Vec::new() };
    model.visit(&mut names);
    names.found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_checkpoints_names_are_brought_to_one_form() {
        for (found, wanted) in [
            ("embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
            ("bert.embeddings.LayerNorm.beta", "bert.embeddings.LayerNorm.bias"),
            ("encoder.layer.3.output.dense.bias", "bert.encoder.layer.3.output.dense.bias"),
            ("cls.predictions.bias", "cls.predictions.bias"),
        ] {
            assert_eq!(canonical_name(found), wanted);
        }
    }

    #[test]
    fn unknown_paths_have_no_name() {
        for path in ["", "modality.weight", "encoder.layer.0.attention.rotary.weight", "image.patchify.x.norm.gamma"] {
            assert_eq!(released_name(path, Task::Match), None, "{path}");
        }
    }
}
