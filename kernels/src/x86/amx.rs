//! The set with AMX, for products with many tokens. All else is of the set with AVX-512 and VNNI.
//!
//! AMX has eight registers of sixteen rows of 64 bytes. One instruction adds the products of up to sixteen tokens and
//! sixteen rows of weights, 64 elements of K long, which it takes as long for as for the fewer that share a scale. What is
//! left is to scale and add the integer sums: they go through memory to the registers of AVX-512, those of a step while
//! those of the next ones are computed.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::avx512vnni::{self, add_scaled};
use super::gemm::floats;
use super::gemm_pack as pack;
use super::tile::{self, QUADS, Step, Tile, panel_step};
use crate::format::TensorType;
use crate::gemm::{Gemm, Out, Pack, ROW_INPUT, STEP, Vector};
use crate::isa::Kernels;

/// The set, where the processor has the features and the system lets the process use them.
pub(crate) fn detect() -> Option<&'static Kernels> {
    avx512vnni::detect()?;
    // Bits 24 and 25: the registers, and multiplication of bytes. std's detection of them is not stable.
    let features = __cpuid_count(7, 0).edx >> 24 & 3;
    (features == 3 && permitted()).then_some(&KERNELS)
}

static KERNELS: Kernels = Kernels { name: "amx", gemm: Some(gemm), ..avx512vnni::SET };

/// Asks for the permission that a process needs, as the registers make its signals' stacks larger.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILE_DATA: i64 = 18;
    let status: i64;
    // SAFETY: the call takes two numbers and changes no memory.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => status,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    status == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// The micro-kernel for weights of a type.
fn gemm(ty: TensorType) -> Gemm {
    use TensorType::*;
    match ty {
        Q4_0 => bytes::<1, 8>(pack::q4_0::<8>),
        Q4_1 => bytes::<1, 0>(pack::q4_1),
        Q5_0 => bytes::<1, 16>(pack::q5_0::<16>),
        Q5_1 => bytes::<1, 0>(pack::q5_1),
        Q8_0 => bytes::<1, 128>(pack::q8_0_bytes::<0>),
        Q2_K => bytes::<2, 0>(pack::q2_k),
        Q3_K => bytes::<2, 4>(pack::q3_k::<4>),
        Q4_K => bytes::<1, 0>(pack::q4_k),
        Q5_K => bytes::<1, 0>(pack::q5_k),
        Q6_K => bytes::<2, 32>(pack::q6_k::<32>),
        IQ4_NL => bytes::<1, 128>(pack::iq4_nl_bytes::<0>),
        F32 => floats(pack::f32),
        F16 => floats(pack::f16),
        BF16 => floats(pack::bf16),
    }
}

/// For integers of a byte, from which `MIDDLE` has been taken off already.
fn bytes<const SUBS: usize, const MIDDLE: i32>(pack: Pack) -> Gemm {
    Gemm { tokens: 2 * TOKENS, ..tile::bytes::<SUBS, MIDDLE>(pack, multiply_bytes::<SUBS, MIDDLE>) }
}

/// Tokens of a tile, and rows of it: those of an AMX register.
const TOKENS: usize = 16;

/// What the registers hold: see the architecture's description of LDTILECFG.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shapes {
    /// Of register 0 the sums of `n` tokens, of 2 their activations and of 4 weights, of one of SUBS parts of a step.
    fn new<const SUBS: usize>(n: usize) -> Self {
        let (n, bytes, quads) = (n as u8, (STEP / SUBS) as u16, (QUADS / SUBS) as u8);
        let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
        for (register, shape) in [(0, (n, 64)), (2, (n, bytes)), (4, (quads, 64))] {
            (rows[register], row_bytes[register]) = shape;
        }
        Shapes { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn multiply_bytes<const SUBS: usize, const MIDDLE: i32>(
    panels: &[Vector],
    n_panels: usize,
    input: &[Vector],
    n: usize,
    out: Out,
) {
    // Few sizes, as every one is a function of a kilobyte for each kind of weights.
    const SIZES: [usize; 6] = [1, 2, 4, 8, 12, TOKENS];
    let tiles: [tile::Function; SIZES.len()] = tiles!(tile_bytes [SUBS, MIDDLE], 1 2 4 8 12 16);
    let mut configured = 0;
    for (p, panel) in panels.chunks_exact(panels.len() / n_panels).enumerate() {
        let mut first = 0;
        while first < n {
            let size = SIZES.partition_point(|size| *size <= n - first) - 1;
            let tokens = SIZES[size];
            if tokens != configured {
                configured = tokens;
                let shapes = Shapes::new::<SUBS>(tokens);
                // SAFETY: the shapes are within the registers' limits.
                unsafe {
                    asm!("ldtilecfg [{}]", in(reg) &shapes, options(readonly, nostack, preserves_flags))
                };
            }
            // SAFETY: `out` lends the results of all panels and tokens; the registers are configured for the tile.
            unsafe { tiles[size](Tile::new(panel, input, ROW_INPUT, (first, n), out, p)) };
            first += tokens;
        }
    }
    // SAFETY: nothing is expected in the registers; empty they need not be saved.
    unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
}

/// Parts of steps whose products are computed before the sums of an earlier one are used: it takes them a while.
const AHEAD: usize = 2;
/// Where sums lie by turns: more than AHEAD, a power of two.
const BUFFERS: usize = 4;

/// Integer sums, sixteen rows of a token after another.
type Sums<const T: usize> = MaybeUninit<[[__m512i; 1]; T]>;

/// Sixteen rows and T tokens, SUBS scales and offsets a step.
///
/// # Safety
/// As of [`tile::Function`]; the registers have the [`Shapes`] for T tokens.
#[target_feature(enable = "avx512f")]
unsafe fn tile_bytes<const T: usize, const SUBS: usize, const MIDDLE: i32>(tile: Tile<'_>) {
    let mut acc = [[_mm512_setzero_ps(); 1]; T];
    if tile.adds() {
        for (t, acc) in acc.iter_mut().enumerate() {
            // SAFETY: here and below, the tile lends the results of sixteen rows and T tokens.
            *acc = unsafe { [_mm512_loadu_ps(tile.results(t))] };
        }
    }
    let steps = tile.steps::<T, ROW_INPUT>(panel_step(SUBS, MIDDLE));
    let parts = SUBS * steps.len();
    let mut sums: [Sums<T>; BUFFERS] = [MaybeUninit::uninit(); BUFFERS];
    // The products of the parts up to the last one are computed ahead of their use.
    let mut computed = 0..parts;
    for part in 0..parts {
        for next in computed.by_ref().take(if part == 0 { AHEAD + 1 } else { 1 }) {
            // SAFETY: the registers have the shapes, by the contract.
            unsafe { products::<T, SUBS>(&steps.at(next / SUBS), next % SUBS, &mut sums[next % BUFFERS]) };
        }
        let (step, sub) = (steps.at(part / SUBS), part % SUBS);
        // SAFETY: they were filled AHEAD turns before, and are filled again in the turns after this one.
        let sums = unsafe { sums[part % BUFFERS].assume_init_ref() };
        add_scaled::<T, 1, SUBS, MIDDLE>(&step, sub, sums, &mut acc);
    }
    for (t, [acc]) in acc.into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(tile.results(t), acc) };
    }
}

/// The products of part `sub` of a step.
///
/// # Safety
/// The registers have the [`Shapes`] for T tokens.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn products<const T: usize, const SUBS: usize>(
    step: &Step<'_, T, ROW_INPUT>,
    sub: usize,
    sums: &mut Sums<T>,
) {
    const STRIDE: usize = 64;
    const { assert!(STRIDE == size_of::<[Vector; ROW_INPUT]>() && STRIDE == size_of::<[Vector; 2]>()) };
    // SAFETY: reads the part's bytes of T tokens and its pairs of vectors, and writes T rows of sums, 64 bytes apart all.
    unsafe {
        asm!(
            "tileloadd tmm2, [{x} + {stride}*1]",
            "tileloadd tmm4, [{w} + {stride}*1]",
            "tilezero tmm0",
            "tdpbssd tmm0, tmm2, tmm4",
            "tilestored [{sums} + {stride}*1], tmm0",
            x = in(reg) step.input().cast::<u8>().add(STEP / SUBS * sub),
            w = in(reg) step.pair(QUADS / SUBS * sub),
            sums = in(reg) sums.as_mut_ptr(),
            stride = in(reg) STRIDE,
            out("tmm0") _, out("tmm2") _, out("tmm4") _,
            options(nostack, preserves_flags),
        );
    }
}
