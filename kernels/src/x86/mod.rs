//! Kernels for x86-64, one file an instruction set level and kind of kernel.

/// Compiles functions once more for the instruction set level `$set`, as a module of that name. What they call by name
/// alone is looked up in [`products`] of that level. A macro, as the instructions that a function may use cannot be a
/// parameter of it.
macro_rules! compile_for {
    ($set:ident, $features:literal, $($item:item)*) => {
        pub(in crate::x86) mod $set {
            use super::*;
            #[allow(unused_imports, reason = "not every level needs them all")]
            use crate::x86::products::$set::*;

            $(#[target_feature(enable = $features)] $item)*
        }
    };
}

mod attention;
pub(crate) mod avx2;
mod avx2_dot;
mod gemm;
mod gemm_pack;
mod gemv;
pub(crate) mod probe;
mod products;
pub(crate) mod search;
pub(crate) mod vnni;
