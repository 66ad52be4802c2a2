//! Quantized block formats and the SIMD kernels that multiply from them.
//!
//! [`mod@format`] holds one file a quantized type: its layout, its encoder, its decoder and its scalar
//! dot product. [`Kernels`] is a set of the same operations for one instruction set; [`all`] lists
//! the sets this processor runs, best first, and [`active`] picks one. `scalar` is the
//! specification every other set is tested against.
//!
//! This crate depends on nothing else of brooklet, and holds almost all of its `unsafe` code.

// What the tiles of x86-64 and aarch64 share has no user elsewhere.
#![cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]

// Blocks are read in place as the file holds them, little-endian, and a file of more than 4 GiB is mapped whole. WebAssembly
// has no map and reads the file into its memory, so only what fits there runs.
#[cfg(not(all(target_endian = "little", any(target_pointer_width = "64", target_family = "wasm"))))]
compile_error!(
    "brooklet needs a 64-bit little-endian target, such as x86_64 or aarch64, or wasm32: it reads weights in place from a mapped file"
);

#[cfg(target_arch = "aarch64")]
mod arm;
mod attention;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod floats;
pub mod format;
mod gemm;
mod isa;
mod kv;
mod matmul;
mod portable;
pub mod probe;
pub mod q8;
mod scalar;
mod team;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use attention::{AttentionKernels, NormRotate, Rows, RowsMut};
pub use format::TensorType;
pub use gemm::{Gemm, Panel, Spread, SpreadPart};
pub use isa::{FloatGemv, Gemv, Kernels, Q8Gemv, QuantizeQ8, Tokens, UnknownIsa, VecDot, active, all};
pub use kv::{KEY_BLOCK, KvLayout, PANEL};
pub use matmul::{Activations, OutTile, tiles};
pub use q8::{FEW_TOKENS, Few, Q8Buffer, Q8Part, Q8Row, Q8x256};
pub use team::Team;
