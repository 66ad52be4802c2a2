//! The specification: plain Rust, no intrinsics.

use crate::format::TensorType;
use crate::isa::{Kernels, VecDot};

/// The scalar set.
pub static KERNELS: Kernels = Kernels {
    name: "scalar",
    quantize_q8: |_, _, _, _| todo!(),
    vec_dot,
    axpy: |_, _, _, _| todo!(),
    rms_norm: |_, _, _, _| todo!(),
    silu_mul: |_, _| todo!(),
    softmax: |_| todo!(),
};

fn vec_dot(_ty: TensorType) -> VecDot {
    todo!()
}
