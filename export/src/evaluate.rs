//! What Burn computes of given inputs: the reference that a graph's outputs are held to.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::module::Module;
use burn::tensor::{Device, TensorData};

use crate::Compiler;
use crate::boundary::{Extent, InputSpec, Inputs, Output};
use crate::capture::panic_message;
use crate::error::ExportError;

impl Compiler {
    /// Computes the forward in Burn, as [`Compiler::compile`] records it: without gradients, dropout and the updates of
    /// statistics. Gives the outputs in the order in which the forward declares them.
    ///
    /// # Errors
    /// [`ExportError::Boundary`] where the values are not those of the declared inputs; [`ExportError::Forward`] where the
    /// forward panics.
    pub fn evaluate<M: Module>(
        &self,
        module: &M,
        values: &BTreeMap<String, TensorData>,
        forward: impl Fn(&M, &Inputs) -> Vec<Output>,
    ) -> Result<Vec<(String, TensorData)>, ExportError> {
        let mut sizes = BTreeMap::new();
        for input in &self.inputs {
            fits(input, values.get(&input.name), &mut sizes)
                .map_err(|reason| ExportError::Boundary(format!("the values of input `{}` {reason}", input.name)))?;
        }
        let shape = |input: &InputSpec| values[&input.name].shape().to_vec();
        let shapes = self.inputs.iter().map(|input| (input.name.clone(), (input.dtype, shape(input)))).collect();
        let computed = catch_unwind(AssertUnwindSafe(|| {
            let module = module.valid();
            let device = module.devices().into_iter().next().unwrap_or_else(Device::flex);
            let inputs = Inputs::computed(shapes, values.clone(), device);
            let outputs = forward(&module, &inputs).into_iter();
            outputs.map(|Output { name, tensor }| Ok((name, tensor.values()?))).collect::<Result<Vec<_>, String>>()
        }));
        let failed = |message: String| ExportError::Forward {
            sizes: "the given inputs".to_owned(),
            place: "computing".to_owned(),
            message,
        };
        computed.map_err(|payload| failed(panic_message(payload.as_ref())))?.map_err(failed)
    }
}

fn fits<'a>(
    input: &'a InputSpec,
    data: Option<&TensorData>,
    sizes: &mut BTreeMap<&'a str, usize>,
) -> Result<(), String> {
    let data = data.ok_or("are missing")?;
    let shape = data.shape().to_vec();
    let mut same = shape.len() == input.shape.len();
    for (extent, &found) in input.shape.iter().zip(&shape) {
        same &= match extent {
            Extent::Fixed(fixed) => *fixed == found,
            Extent::Symbol { name, .. } => *sizes.entry(name).or_insert(found) == found,
        };
    }
    if same {
        Ok(())
    } else {
        Err(format!("have shape {shape:?}, which is not the declared one or not that of others"))
    }
}
