//! Where ONNX Runtime put each operation of a loaded graph, and whether a GPU engine may leave it there.
//!
//! Arithmetic on sizes belongs on the CPU: providers put it there on purpose, since shapes are needed on the host.
//! Anything else on the CPU means that a GPU provider has no kernel for it.

use std::collections::BTreeMap;

use ::ort::session::Session;

/// The session setting without which ONNX Runtime forgets the placement.
pub(super) const RECORD: &str = "session.record_ep_graph_assignment_info";

const CPU: &str = "CPUExecutionProvider";

/// Operators that make shapes out of shapes in exported graphs.
const ON_SIZES: [&str; 10] =
    ["Cast", "Concat", "ConstantOfShape", "Gather", "Identity", "Range", "Shape", "Slice", "Squeeze", "Unsqueeze"];

/// An operation and the execution provider that computes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) provider: String,
    pub(super) op: String,
    pub(super) name: String,
}

/// The placement of a session that was made with [`RECORD`].
pub(super) fn of(session: &Session) -> ::ort::Result<Vec<Placed>> {
    calls::nodes(session)
}

/// Says which operations would compute on the CPU, `None` where all that is left there is arithmetic on sizes.
pub(super) fn computed_on_cpu(nodes: &[Placed]) -> Option<String> {
    let mut counts: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.provider == CPU && !ON_SIZES.contains(&node.op.as_str())) {
        counts.entry(&node.op).or_insert((0, &node.name)).0 += 1;
    }
    let one = |(op, (count, name)): (&&str, &(usize, &str))| format!("{count} {op} (`{name}`)");
    (!counts.is_empty()).then(|| counts.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// `ort` has no safe form of these calls.
#[allow(unsafe_code)]
mod calls {
    use std::ffi::{CStr, c_char};
    use std::{ptr, slice};

    use ::ort::AsPointer;
    use ::ort::session::Session;
    use ::ort::sys::OrtStatusPtr;

    use super::Placed;

    pub(super) fn nodes(session: &Session) -> ::ort::Result<Vec<Placed>> {
        let api = ::ort::api();
        let mut placed = Vec::new();
        // SAFETY: the session is alive, and what the call lends belongs to it.
        let parts = lent(|out, count| unsafe { (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), out, count) })?;
        for &part in parts {
            // SAFETY: `part` was lent by the session, which is alive.
            let provider = text(|out| unsafe { (api.EpAssignedSubgraph_GetEpName)(part, out) })?;
            // SAFETY: as above.
            let nodes = lent(|out, count| unsafe { (api.EpAssignedSubgraph_GetNodes)(part, out, count) })?;
            for &node in nodes {
                placed.push(Placed {
                    provider: provider.clone(),
                    // SAFETY: `node` was lent by the session, which is alive.
                    op: text(|out| unsafe { (api.EpAssignedNode_GetOperatorType)(node, out) })?,
                    // SAFETY: as above.
                    name: text(|out| unsafe { (api.EpAssignedNode_GetName)(node, out) })?,
                });
            }
        }
        Ok(placed)
    }

    /// An array of pointers that the library lends.
    fn lent<'s, T>(
        call: impl FnOnce(*mut *const *const T, *mut usize) -> OrtStatusPtr,
    ) -> ::ort::Result<&'s [*const T]> {
        let (mut first, mut count) = (ptr::null(), 0);
        // SAFETY: the status comes from the library and is taken once.
        unsafe { ::ort::Error::result_from_status(call(&mut first, &mut count)) }?;
        // SAFETY: after success, `first` points to `count` pointers.
        Ok(if first.is_null() { &[] } else { unsafe { slice::from_raw_parts(first, count) } })
    }

    /// A text that the library lends.
    fn text(call: impl FnOnce(*mut *const c_char) -> OrtStatusPtr) -> ::ort::Result<String> {
        let mut out = ptr::null();
        // SAFETY: the status comes from the library and is taken once.
        unsafe { ::ort::Error::result_from_status(call(&mut out)) }?;
        if out.is_null() {
            return Ok(String::new());
        }
        // SAFETY: after success, `out` is a text that ends in a null byte.
        Ok(unsafe { CStr::from_ptr(out) }.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_on_sizes_may_stay_on_the_cpu_and_nothing_else() {
        let placed = |provider: &str, op: &str, name: &str| Placed {
            provider: provider.to_owned(),
            op: op.to_owned(),
            name: name.to_owned(),
        };
        let mut nodes = vec![
            placed("CUDAExecutionProvider", "MatMul", "query"),
            placed(CPU, "Shape", "size"),
            placed(CPU, "Concat", "s"),
        ];
        assert_eq!(computed_on_cpu(&nodes), None);
        nodes.extend([placed(CPU, "MatMul", "query"), placed(CPU, "Erf", "gelu"), placed(CPU, "MatMul", "key")]);
        assert_eq!(computed_on_cpu(&nodes).as_deref(), Some("1 Erf (`gelu`), 2 MatMul (`query`)"));
    }
}
