//! Both stages of pre-training against losses and gradients computed with the released model (`tests/reference` of the
//! workspace, or the folder in `MBSD_REFERENCE`).

mod case;
mod stage1;
mod stage2;
