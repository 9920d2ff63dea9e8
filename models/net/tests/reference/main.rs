//! The modules against numbers computed with the released model (`tests/reference` of the workspace, or the folder in
//! `MBSD_REFERENCE`).

mod case;
mod forward;
mod weights;
