//! Kernels for x86-64, one file an instruction set level and kind of kernel.

use std::arch::x86_64::__cpuid;
use std::sync::LazyLock;

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

/// Functions for one token, for two and for any more as a [`Gemv`](crate::isa::Gemv). The function pointers' types differ in
/// `unsafe` alone.
macro_rules! gemvs {
    ($one:expr, $two:expr, $more:expr) => {
        Some(Gemv::Q8(
            &const {
                let mut all: [Unsafe; FEW_TOKENS] = [$more; FEW_TOKENS];
                all[0] = $one;
                all[1] = $two;
                // SAFETY: a call is sound: a set is handed out only where the features are there.
                unsafe { std::mem::transmute::<[Unsafe; FEW_TOKENS], [Q8Gemv; FEW_TOKENS]>(all) }
            },
        ))
    };
}

/// Instances of a tile's function for one token, two, and so on; its other parameters follow the tokens.
macro_rules! tiles {
    ($tile:ident $others:tt, $($t:literal)*) => { [$(tiles!(@ $tile $t $others)),*] };
    (@ $tile:ident $t:literal [$($others:tt)*]) => { $tile::<$t, $($others)*> };
}

pub(crate) mod amx;
mod attention;
pub(crate) mod avx2;
mod avx512;
mod avx512_attention;
mod avx512_few;
mod avx512_floats;
mod avx512_open;
pub(crate) mod avx512vnni;
pub(crate) mod avxvnni;
mod bits;
mod floats;
mod gemm;
mod gemm_pack;
mod gemv;
pub(crate) mod probe;
mod products;
pub(crate) mod search;
mod tile;
mod unpack;

/// What helps a processor to have memory ahead of its use: docs/performance.md.
#[derive(Clone, Copy, PartialEq)]
enum Reader {
    Intel,
    Zen4,
    /// AMD's but Zen 4, and processors that nothing is known of.
    Other,
}

static READER: LazyLock<Reader> = LazyLock::new(|| {
    let family = __cpuid(1).eax >> 8 & 15;
    let family = if family == 15 { family + (__cpuid(1).eax >> 20 & 255) } else { family };
    match &__cpuid(0).ebx.to_le_bytes() {
        b"Genu" => Reader::Intel,
        // Zen 3 is of the same family.
        b"Auth" if family == 25 && is_x86_feature_detected!("avx512f") => Reader::Zen4,
        _ => Reader::Other,
    }
});
