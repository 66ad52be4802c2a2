//! Kernels for x86-64, one file an instruction set level.

pub(crate) mod avx2;
mod avx2_dot;
mod gemv;
mod gemm;
mod gemm_pack;
