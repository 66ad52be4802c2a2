//! Kernels for x86-64, one file an instruction set level.

mod attention;
pub(crate) mod avx2;
mod avx2_dot;
mod gemm;
mod gemm_pack;
mod gemv;
pub(crate) mod probe;
pub(crate) mod search;
