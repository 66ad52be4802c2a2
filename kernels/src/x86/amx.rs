//! The set with AMX, for products of quantized weights with many tokens. All else is of the set with AVX-512 and VNNI.
//!
//! AMX has eight registers of sixteen rows of 64 bytes. One instruction adds the products of up to sixteen tokens and
//! sixteen rows of weights, 64 elements of K long, in the time of sixteen vector instructions. Integer sums that must be
//! scaled every 32 elements, as those of the other sets, would take several times as long as that. So [`GROUP`] elements of a
//! row or of a token, scaled, are brought to 16-bit integers of one scale, each 256 h + l with two signed bytes: three
//! products of bytes take the place of one, hh, and hl and lh, and a sum is scaled once a group. What is left out, ll, is
//! at most a 65,000th of the largest product there can be, as much as the rounding, and of either sign.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::avx512_open::{ROWS, get, put};
use super::avx512vnni;
use super::tile::{QUADS, panel_step};
use crate::format::TensorType;
use crate::gemm::{Chunk, Fixed, Gemm, Kind, Operands, Out, STEP, Vector};
use crate::isa::{FEW, Kernels, Tokens};
use crate::matmul::Activations;

/// The set, where the processor has the features and the system lets the process use them.
pub(crate) fn detect() -> Option<&'static Kernels> {
    avx512vnni::detect()?;
    // Bits 24 and 25: the registers, and multiplication of bytes. std's detection of them is not stable.
    let features = __cpuid_count(7, 0).edx >> 24 & 3;
    (features == 3 && permitted()).then_some(&KERNELS)
}

static KERNELS: Kernels = Kernels {
    name: "amx",
    gemm: Some(gemm),
    pass: Tokens { quantized: PASS, floats: PASS },
    // More were not measured here.
    few: FEW,
    ..avx512vnni::SET
};

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
    let open = avx512vnni::gemm(ty);
    match ty {
        Q4_0 => fixed::<1, 8, false>(open),
        Q4_1 | Q4_K => fixed::<1, 8, true>(open),
        Q5_0 => fixed::<1, 16, false>(open),
        Q5_1 | Q5_K => fixed::<1, 16, true>(open),
        Q8_0 | IQ4_NL => fixed::<1, 128, false>(open),
        Q2_K => fixed::<2, 2, true>(open),
        Q3_K => fixed::<2, 4, false>(open),
        Q6_K => fixed::<2, 32, false>(open),
        F32 | F16 | BF16 => open,
    }
}

/// Elements of K that share a scale: as many as let two panels and sixteen tokens lie in the L1 cache.
const GROUP: usize = 256;
/// Tokens of a pass. Laying weights open takes as long as multiplying them by 90 tokens; a longer pass would take more memory.
const PASS: usize = 192;
/// The most tokens of a tile, as many as a panel has rows: those of an AMX register.
const TOKENS: usize = 16;
/// Bytes of a register's row, and so elements of K of a part, two steps, that an instruction multiplies.
const LINE: usize = 64;
/// Vectors of a part of a panel and of a token: the high bytes, then the low ones. An odd last step fills half of a part, for
/// which a chunk has room; scales lie in the last two vectors.
const PANEL_PART: usize = 4 * ROWS;
const INPUT_PART: usize = 4;

/// For weights that `open` lays open with SUBS scales a step: see [`bring`].
fn fixed<const SUBS: usize, const CENTRE: i32, const OFFSETS: bool>(open: Gemm) -> Gemm {
    Gemm {
        kind: Kind::Fixed,
        chunk: GROUP,
        rows: ROWS,
        tokens: PASS,
        panel_step: PANEL_PART / 2,
        panel_rest: PANEL_PART / 2 + 2,
        input_step: INPUT_PART / 2,
        input_rest: INPUT_PART / 2 + 2,
        pack: open.pack,
        fixed: Some(Fixed { open_step: open.panel_step, bring: bring::<SUBS, CENTRE, OFFSETS> }),
        spread,
        multiply,
    }
}

/// The largest integer that weights become: rounding, and the half of 256 that is added to part it, stay within 16 bits.
const LARGEST: f32 = 32600.0;

/// Brings sixteen rows of a chunk to a scale each. `open` has unsigned integers u, scales d and, with OFFSETS, offsets; a weight
/// is d · (u - CENTRE) or d · u + offset, and no u reaches 2 · CENTRE. `panel` takes parts of high and of low bytes, four of a
/// row side by side, and the scales.
///
/// The scale is NaN or infinite if one of the group's is. A group of which nothing reaches 1e-34 becomes 0.
#[target_feature(enable = "avx512f,avx512bw")]
fn bring<const SUBS: usize, const CENTRE: i32, const OFFSETS: bool>(open: &[Vector], panel: &mut [Vector]) {
    let step = 2 * panel_step(SUBS, if OFFSETS { 0 } else { CENTRE });
    let centre = _mm512_set1_ps(CENTRE as f32);
    // The products of d and CENTRE, and what is added to u - CENTRE times d.
    let floats = |step: &[Vector], sub: usize| {
        let d = _mm512_mul_ps(_mm512_castsi512_ps(get(step, QUADS + sub)), centre);
        if !OFFSETS {
            return [d, _mm512_setzero_ps()];
        }
        [d, _mm512_add_ps(_mm512_castsi512_ps(get(step, QUADS + SUBS + sub)), d)]
    };
    // Of each row; the bits of floats without a sign order as they do, and NaN above all.
    let mut largest = _mm512_setzero_si512();
    for step in open.chunks_exact(step) {
        for sub in 0..SUBS {
            let [d, offset] = floats(step, sub);
            let bound = _mm512_castps_si512(_mm512_add_ps(_mm512_abs_ps(d), _mm512_abs_ps(offset)));
            largest = _mm512_max_epi32(largest, _mm512_and_si512(bound, _mm512_set1_epi32(i32::MAX)));
        }
    }
    let largest = _mm512_castsi512_ps(largest);
    let inverse = _mm512_div_ps(_mm512_set1_ps(LARGEST), largest);
    // In both halves of 32 bits. What is no number becomes 0.
    let integer = |v| {
        let low_twice = _mm512_set4_epi32(0x0d0c_0d0c, 0x0908_0908, 0x0504_0504, 0x0100_0100);
        _mm512_shuffle_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(v, inverse)), low_twice)
    };
    // u takes the high byte of 16 bits, less a half of their range, so that the high half of the doubled product with d ·
    // CENTRE is as wanted, rounded.
    let to_high = _mm512_set1_epi16(8 + 7 - CENTRE.ilog2() as i16);
    let odd_to_high = _mm512_set1_epi16(7 - CENTRE.ilog2() as i16);
    let half_range = _mm512_set1_epi16(i16::MIN);
    for (s, step) in open.chunks_exact(step).enumerate() {
        let (high, low) = panel[s / 2 * PANEL_PART..][..PANEL_PART].split_at_mut(PANEL_PART / 2);
        for sub in 0..SUBS {
            let [d, offset] = floats(step, sub).map(integer);
            let offset = _mm512_add_epi16(offset, _mm512_set1_epi16(128));
            for i in sub * QUADS / SUBS..(sub + 1) * QUADS / SUBS {
                let u = get(step, i);
                let even = _mm512_xor_si512(_mm512_sllv_epi16(u, to_high), half_range);
                // a ^ (b & c)
                const XOR_AND: i32 = 0x78;
                let high_byte = _mm512_set1_epi16(0xff00u16 as i16);
                let odd = _mm512_ternarylogic_epi32::<XOR_AND>(
                    half_range,
                    _mm512_sllv_epi16(u, odd_to_high),
                    high_byte,
                );
                let [even, odd] = [even, odd].map(|v| _mm512_add_epi16(_mm512_mulhrs_epi16(v, d), offset));
                const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
                let less = _mm512_mask_blend_epi8(ODD, even, _mm512_slli_epi16::<8>(odd));
                put(high, s % 2 * QUADS + i, _mm512_mask_blend_epi8(ODD, _mm512_srli_epi16::<8>(even), odd));
                put(low, s % 2 * QUADS + i, _mm512_xor_si512(less, _mm512_set1_epi8(i8::MIN)));
            }
        }
    }
    let steps = open.len() / step;
    if !steps.is_multiple_of(2) {
        let part = &mut panel[steps / 2 * PANEL_PART..][..PANEL_PART];
        for i in (QUADS..2 * QUADS).chain(3 * QUADS..4 * QUADS) {
            put(part, i, _mm512_setzero_si512());
        }
    }
    // A product of high bytes is 65,536 of products, and is added up with those of a high and a low byte as 256. A token has TIMES
    // its scale, which might be too small for a float.
    let scale = _mm512_mul_ps(largest, _mm512_set1_ps(256.0 / (LARGEST * TIMES)));
    put(panel, panel.len() / 2 - 1, _mm512_castps_si512(scale));
}

/// Of 8-bit activations' scales the largest is this many times that of the integers of 16 bits: 127 becomes 32,639, with the 128
/// that is added to part it the most that 16 bits hold.
const TIMES: f32 = 257.0;

/// Brings a chunk of `n` tokens from `first` on to a scale each: of a token parts of high and of low bytes, and TIMES the scale.
#[target_feature(enable = "avx512f")]
fn spread(x: Activations<'_>, first: usize, n: usize, k: Chunk, input: &mut [Vector]) {
    for (t, input) in input.chunks_exact_mut(input.len() / n).enumerate() {
        let x = x.q8_row(first + t, k);
        let largest = x.d.iter().fold(0, |max, d| max.max(d.to_bits() & i32::MAX as u32));
        let largest = f32::from_bits(largest);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(input);
        let (parts, rest) = bytes.split_at_mut(bytes.len() - LINE);
        rest[..4].copy_from_slice(&largest.to_ne_bytes());
        for (s, (qs, d)) in x.qs.as_chunks::<STEP>().0.iter().zip(x.d).enumerate() {
            let times = _mm512_set1_ps(d / largest * TIMES);
            let part = &mut parts[s / 2 * 2 * LINE..][..2 * LINE];
            let (high, low) = part.split_at_mut(LINE);
            for (i, qs) in qs.as_chunks::<16>().0.iter().enumerate() {
                // SAFETY: a load of 16 bytes.
                let q = _mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(qs.as_ptr().cast()) });
                let v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(q), times));
                let h = _mm512_srai_epi32::<8>(_mm512_add_epi32(v, _mm512_set1_epi32(128)));
                let at = s % 2 * STEP + 16 * i;
                for (to, v) in [(&mut high[at..at + 16], h), (&mut low[at..at + 16], v)] {
                    // SAFETY: a store of 16 bytes.
                    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(v)) };
                }
            }
        }
    }
}

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
    /// Of registers 0 to 3 the sums of `n` tokens, of 4 and 5 their activations, of 6 and 7 weights.
    fn new(n: usize) -> Self {
        let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
        row_bytes[..8].fill(LINE as u16);
        rows[..6].fill(n as u8);
        rows[6..8].fill(ROWS as u8);
        Shapes { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
    }
}

/// Integer sums of a tile, sixteen rows of a token after another: of either panel products of high bytes, and of high and
/// low ones.
type Sums = [[[__m512i; TOKENS]; 2]; 2];

#[target_feature(enable = "avx512f")]
unsafe fn multiply(operands: Operands<'_>) {
    // What lies ahead has been fetched while weights were brought to 16 bits.
    let Operands { panels, n_panels, input, n, out, ahead: _ } = operands;
    let (pairs, lone) = panels.split_at(panels.len() / n_panels * (n_panels / 2 * 2));
    // SAFETY: by the contract.
    unsafe {
        if !pairs.is_empty() {
            multiply_by::<2>(pairs, n_panels / 2, input, n, out);
        }
        if !lone.is_empty() {
            let first = out.first.add(ROWS * (n_panels - 1));
            multiply_by::<1>(lone, 1, input, n, Out { first, ..out });
        }
    }
    // SAFETY: nothing is expected in the registers; empty they need not be saved.
    unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
}

/// Takes the products of so many times P panels and `n` tokens.
///
/// # Safety
/// As of [`Multiply`](crate::gemm::Multiply).
#[target_feature(enable = "avx512f")]
unsafe fn multiply_by<const P: usize>(panels: &[Vector], times: usize, input: &[Vector], n: usize, out: Out) {
    let (panel_len, token_len) = (panels.len() / (times * P), input.len() / n);
    let parts = panel_len / PANEL_PART;
    assert!(panels.len() == times * P * panel_len && panel_len >= parts * PANEL_PART + 2);
    assert!(input.len() == n * token_len && token_len >= parts * INPUT_PART + 2 && parts > 0);
    let tokens_a_part = TOKENS.div_ceil(parts);
    let mut configured = 0;
    // Those of a tile are stored in one while those of the tile before are added from the other.
    let mut sums = [const { MaybeUninit::<Sums>::uninit() }; 2];
    let sums = sums.as_mut_ptr().cast::<Sums>();
    let mut turn = 0;
    let mut adder: Option<Adder<P>> = None;
    for (p, panels) in panels.chunks_exact(P * panel_len).enumerate() {
        for t in (0..n).step_by(TOKENS) {
            let tokens = TOKENS.min(n - t);
            if tokens != configured {
                configured = tokens;
                let shapes = Shapes::new(tokens);
                // SAFETY: the shapes are within the registers' limits.
                unsafe {
                    asm!("ldtilecfg [{}]", in(reg) &shapes, options(readonly, nostack, preserves_flags))
                };
            }
            let input = &input[t * token_len..];
            // SAFETY: here and below, the registers have the shapes for these tokens, whose operands are as long as was made sure;
            // `out` lends the results of all tokens and panels.
            unsafe {
                zero();
                for part in 0..parts {
                    let x = input.as_ptr().add(part * INPUT_PART);
                    let w = panels.as_ptr().add(part * PANEL_PART);
                    products::<P>(x, token_len, w, panel_len);
                    // While these are computed, sums from before are scaled and added.
                    if let Some(adder) = &mut adder {
                        adder.add(tokens_a_part);
                    }
                }
                turn += 1;
                let sums = sums.add(turn % 2);
                store(sums);
                let result = out.first.add(t * out.stride + P * ROWS * p);
                adder =
                    Some(Adder::new(sums, panels, (input, token_len, tokens), Out { first: result, ..out }));
            }
        }
    }
    if let Some(mut adder) = adder {
        // SAFETY: as above.
        unsafe { adder.add(TOKENS) };
    }
}

/// Adds the products of a part to the sums: in registers 0 and 1 those of high bytes, and of high and low ones, in 2 and 3 the
/// same of a second panel.
///
/// # Safety
/// The registers have [`Shapes`]; `x` is a part of as many tokens, `token_len` vectors apart, and `w` of P panels, `panel_len`
/// vectors apart.
#[inline(always)]
unsafe fn products<const P: usize>(x: *const Vector, token_len: usize, w: *const Vector, panel_len: usize) {
    // SAFETY: reads the part of all tokens and rows. That the registers change cannot be told to the compiler, as they keep their
    // sums from here to `store`; it has no use of its own for them, and no function that is called meanwhile has.
    unsafe {
        asm!(
            "tileloadd tmm4, [{x} + {token}*1]",
            "tileloadd tmm6, [{w} + {line}*1]",
            "tileloadd tmm5, [{x} + {token}*1 + {line_bytes}]",
            "tileloadd tmm7, [{w} + {line}*1 + {line_bytes}*{rows}]",
            "tdpbssd tmm0, tmm4, tmm6",
            "tdpbssd tmm1, tmm4, tmm7",
            "tdpbssd tmm1, tmm5, tmm6",
            x = in(reg) x,
            w = in(reg) w,
            token = in(reg) token_len * size_of::<Vector>(),
            line = in(reg) LINE,
            line_bytes = const LINE,
            rows = const ROWS,
            options(readonly, nostack, preserves_flags),
        );
        if P == 2 {
            asm!(
                "tileloadd tmm6, [{w} + {line}*1]",
                "tileloadd tmm7, [{w} + {line}*1 + {line_bytes}*{rows}]",
                "tdpbssd tmm2, tmm4, tmm6",
                "tdpbssd tmm3, tmm4, tmm7",
                "tdpbssd tmm3, tmm5, tmm6",
                w = in(reg) w.add(panel_len),
                line = in(reg) LINE,
                line_bytes = const LINE,
                rows = const ROWS,
                options(readonly, nostack, preserves_flags),
            );
        }
    }
}

/// Empties the registers of the sums.
///
/// # Safety
/// They have [`Shapes`].
#[inline(always)]
unsafe fn zero() {
    // SAFETY: no other code uses the registers.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// Stores the sums, of two panels always; those of one that is not there are 0.
///
/// # Safety
/// The registers have [`Shapes`]; there is room for the sums.
#[inline(always)]
unsafe fn store(sums: *mut Sums) {
    // SAFETY: sums have room for sixteen tokens of each register.
    unsafe {
        asm!(
            "tilestored [{sums} + {line}*1], tmm0",
            "tilestored [{sums} + {line}*1 + {line_bytes}*{tokens}], tmm1",
            "tilestored [{sums} + {line}*1 + 2*{line_bytes}*{tokens}], tmm2",
            "tilestored [{sums} + {line}*1 + 3*{line_bytes}*{tokens}], tmm3",
            sums = in(reg) sums,
            line = in(reg) LINE,
            line_bytes = const LINE,
            tokens = const TOKENS,
            options(nostack, preserves_flags),
        );
    }
}

/// Scales the sums of P panels and adds them to the results, some tokens after others.
struct Adder<const P: usize> {
    /// The panels' scales.
    d: [__m512; P],
    /// Tokens that are left, and of the next one the sums, the scale and the first result.
    left: usize,
    sums: *const __m512i,
    scale: *const Vector,
    result: *mut f32,
    token_len: usize,
    stride: usize,
    /// The results that are added to: all or none.
    added: __mmask16,
}

impl<const P: usize> Adder<P> {
    /// For the sums of panels and of so many tokens, the first ones of the input, each of so many vectors.
    ///
    /// # Safety
    /// Until they are added the sums stay as they are, and `out` lends the results.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn new(sums: *const Sums, panels: &[Vector], input: (&[Vector], usize, usize), out: Out) -> Self {
        let (input, token_len, left) = input;
        assert!(left * token_len <= input.len());
        let mut d = [_mm512_setzero_ps(); P];
        for (d, panel) in d.iter_mut().zip(panels.chunks_exact(panels.len() / P)) {
            *d = _mm512_castsi512_ps(get(panel, panel.len() / 2 - 1));
        }
        Adder {
            d,
            left,
            sums: sums.cast(),
            scale: input[token_len - 2..].as_ptr(),
            result: out.first,
            token_len,
            stride: out.stride,
            added: if out.add { !0 } else { 0 },
        }
    }

    /// Adds those of at most `n` tokens more.
    ///
    /// # Safety
    /// As of [`Adder::new`].
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn add(&mut self, n: usize) {
        let n = n.min(self.left);
        self.left -= n;
        for _ in 0..n {
            // SAFETY: a token is left, by the contract with sums and results.
            unsafe {
                let x = _mm512_set1_ps(*self.scale.cast());
                for (p, d) in self.d.iter().enumerate() {
                    let sums = self.sums.add(2 * TOKENS * p);
                    let (high, cross) = (*sums, *sums.add(TOKENS));
                    let sum = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32::<8>(high), cross));
                    let result = self.result.add(ROWS * p);
                    let start = _mm512_maskz_loadu_ps(self.added, result);
                    _mm512_storeu_ps(result, _mm512_fmadd_ps(sum, _mm512_mul_ps(*d, x), start));
                }
                self.sums = self.sums.add(1);
            }
            self.scale = self.scale.wrapping_add(self.token_len);
            self.result = self.result.wrapping_add(self.stride);
        }
    }
}
