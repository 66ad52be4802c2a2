//! The micro-kernels of [`super::gemm`], one a level.

use super::gemm::{INTEGERS, ROWS, TOKENS, Tiles, panel_step};
use super::intrinsics::*;
use super::level::{DotProd, Level, Neon, sdot_lane, smmla};
use super::weights::zero;
use crate::gemm::{Factors, Kind, Out, ROW_INPUT, Vector, put_token};

/// The steps of a panel and of the input of T tokens, as pointers to floats or bytes that a tile goes along.
struct Steps {
    n: usize,
    panel: *const u8,
    input: *const u8,
}

impl Steps {
    #[inline(always)]
    fn new<const T: usize, const SUBS: usize, const MINS: bool>(panel: &[Vector], input: &[Vector]) -> Steps {
        let step = panel_step(SUBS, MINS);
        let n = panel.len() / step;
        assert!(panel.len() == n * step && input.len() == n * ROW_INPUT * T);
        Steps { n, panel: panel.as_ptr().cast(), input: input.as_ptr().cast() }
    }
}

/// Sixteen integers, `at` sixteens from `base`.
///
/// # Safety
/// They must be there.
#[inline(always)]
unsafe fn integers(base: *const u8, at: usize) -> int8x16_t {
    // SAFETY: by the contract.
    unsafe { vld1q_s8(base.add(16 * at).cast()) }
}

/// The same pointer, of which the compiler no longer knows that what it points to has been read already.
#[inline(always)]
fn unknown(mut at: *const u8) -> *const u8 {
    // SAFETY: no instruction.
    unsafe { std::arch::asm!("/* {} */", inout(reg) at, options(pure, nomem, nostack, preserves_flags)) };
    at
}

/// Four floats, `at` fours from `base`.
///
/// # Safety
/// They must be there.
#[inline(always)]
unsafe fn floats(base: *const u8, at: usize) -> float32x4_t {
    // SAFETY: by the contract.
    unsafe { vld1q_f32(base.add(16 * at).cast()) }
}

/// Scales a step's sums of products and adds them, with what goes beside them: `acc` and `products` are of two times four
/// rows and T tokens, `factors` the tokens'.
///
/// # Safety
/// `panel` must be the start of a step.
#[inline(always)]
unsafe fn add_scaled<const T: usize, const SUBS: usize, const MINS: bool>(
    acc: &mut [[float32x4_t; 2]; T],
    products: [[int32x4_t; T]; 2],
    factors: [float32x4_t; T],
    panel: *const u8,
    sub: usize,
) {
    for (half, products) in products.into_iter().enumerate() {
        // SAFETY: by the contract.
        unsafe { add_half::<T, SUBS, MINS>(acc, half, products, factors, panel, sub) };
    }
}

/// As [`add_scaled`], of four rows.
///
/// # Safety
/// `panel` must be the start of a step.
#[inline(always)]
unsafe fn add_half<const T: usize, const SUBS: usize, const MINS: bool>(
    acc: &mut [[float32x4_t; 2]; T],
    half: usize,
    products: [int32x4_t; T],
    factors: [float32x4_t; T],
    panel: *const u8,
    sub: usize,
) {
    // SAFETY: by the contract.
    let scale = unsafe { floats(panel, 2 * (INTEGERS + sub) + half) };
    for t in 0..T {
        let scale = vmulq_laneq_f32::<0>(scale, factors[t]);
        acc[t][half] = vfmaq_f32(acc[t][half], vcvtq_f32_s32(products[t]), scale);
    }
    if MINS {
        // SAFETY: by the contract.
        let min = unsafe { floats(panel, 2 * (INTEGERS + SUBS + sub) + half) };
        for t in 0..T {
            acc[t][half] = match (SUBS, sub) {
                (1, _) => vfmaq_laneq_f32::<1>(acc[t][half], min, factors[t]),
                (_, 0) => vfmaq_laneq_f32::<2>(acc[t][half], min, factors[t]),
                _ => vfmaq_laneq_f32::<3>(acc[t][half], min, factors[t]),
            };
        }
    }
}

/// Stores the sums of eight rows of token `t`.
///
/// # Safety
/// `out` must lend them.
#[inline(always)]
unsafe fn finish(out: Out, t: usize, acc: [float32x4_t; 2]) {
    for (half, acc) in acc.into_iter().enumerate() {
        // SAFETY: by the contract.
        unsafe {
            let at = out.first.add(t * out.stride + 4 * half);
            vst1q_f32(at, if out.add { vaddq_f32(vld1q_f32(at), acc) } else { acc });
        }
    }
}

/// Rows one behind the other; the lanes of a product are elements of K, added up for four rows at a time.
impl Tiles for Neon {
    const KIND: Kind = Kind::Rows;

    #[inline(always)]
    fn put(rows: [[int8x16_t; 2]; ROWS], panel: &mut [Vector; INTEGERS]) {
        for (row, panel) in rows.into_iter().zip(panel) {
            store(panel, row);
        }
    }

    #[inline(always)]
    fn spread(x: [(&[i8; 32], Factors); TOKENS], n: usize, input: &mut [Vector]) {
        for (x, input) in x.into_iter().zip(input.chunks_exact_mut(ROW_INPUT)).take(n) {
            put_token(x, input);
        }
    }

    #[inline(always)]
    unsafe fn tile<const T: usize, const SUBS: usize, const MINS: bool, const SMALL: bool>(
        panel: &[Vector],
        input: &[Vector],
        out: Out,
    ) {
        let Steps { n, mut panel, mut input } = Steps::new::<T, SUBS, MINS>(panel, input);
        let mut acc = [[zero(); 2]; T];
        for _ in 0..n {
            // SAFETY: the steps are there. Written out, since a loop that the compiler does not unroll would find the
            // activations in memory.
            unsafe {
                for_tokens::<T, SUBS, MINS, SMALL>(&mut acc, panel, input, 0, 0);
                for_tokens::<T, SUBS, MINS, SMALL>(&mut acc, panel, input, 1, 0);
                if SUBS == 2 {
                    for_tokens::<T, SUBS, MINS, SMALL>(&mut acc, panel, input, 0, 1);
                    for_tokens::<T, SUBS, MINS, SMALL>(&mut acc, panel, input, 1, 1);
                }
            }
            // SAFETY: at most one past the end.
            (panel, input) =
                unsafe { (panel.add(32 * panel_step(SUBS, MINS)), input.add(32 * ROW_INPUT * T)) };
        }
        for (t, acc) in acc.into_iter().enumerate() {
            // SAFETY: by the contract.
            unsafe { finish(out, t, acc) };
        }
    }
}

/// Adds the scaled products of four rows, the first or the second `half` of the eight, in all of a step or one of its
/// halves; of two tokens after the other, to have few values at a time in registers.
///
/// # Safety
/// `panel` and `input` must be the start of a step.
#[inline(always)]
unsafe fn for_tokens<const T: usize, const SUBS: usize, const MINS: bool, const SMALL: bool>(
    acc: &mut [[float32x4_t; 2]; T],
    panel: *const u8,
    input: *const u8,
    half: usize,
    sub: usize,
) {
    // SAFETY: by the contract.
    unsafe {
        if T == 1 {
            return add_four_rows::<1, SUBS, MINS, SMALL>(acc, panel, input, half, sub);
        }
        let (two, rest) = acc.split_at_mut(2);
        add_four_rows::<2, SUBS, MINS, SMALL>(two, panel, input, half, sub);
        let input = input.add(2 * 32 * ROW_INPUT);
        match T {
            3 => add_four_rows::<1, SUBS, MINS, SMALL>(rest, panel, input, half, sub),
            4 => add_four_rows::<2, SUBS, MINS, SMALL>(rest, panel, input, half, sub),
            _ => {}
        }
    }
}

/// As [`for_tokens`], of N tokens.
///
/// # Safety
/// `panel` must be the start of a step, and `input` that of N tokens.
#[inline(always)]
unsafe fn add_four_rows<const N: usize, const SUBS: usize, const MINS: bool, const SMALL: bool>(
    acc: &mut [[float32x4_t; 2]],
    panel: *const u8,
    input: *const u8,
    half: usize,
    sub: usize,
) {
    let acc: &mut [[float32x4_t; 2]; N] = acc.try_into().expect("the sums of N tokens");
    let panel = unknown(panel);
    let max = if SMALL { 64 } else { 128 };
    // SAFETY: by the contract; a row's integers are two sixteens, and a token's input is four.
    unsafe {
        let x: [_; N] = std::array::from_fn(|t| [integers(input, 4 * t), integers(input, 4 * t + 1)]);
        let rows: [_; 4] = std::array::from_fn(|r| {
            let row = 4 * half + r;
            [integers(panel, 2 * row), integers(panel, 2 * row + 1)]
        });
        let mut products = [vdupq_n_s32(0); N];
        for (products, x) in products.iter_mut().zip(x) {
            let dot = |row: [int8x16_t; 2]| match SUBS {
                1 => Neon::dot_32(max, row, x),
                _ => Neon::dot_16(row[sub], x[sub]),
            };
            let pairs = [vpaddq_s32(dot(rows[0]), dot(rows[1])), vpaddq_s32(dot(rows[2]), dot(rows[3]))];
            *products = vpaddq_s32(pairs[0], pairs[1]);
        }
        let factors = std::array::from_fn(|t| floats(input, 4 * t + 2));
        add_half::<N, SUBS, MINS>(acc, half, products, factors, panel, sub);
    }
}

/// Four elements of K of each of the eight rows side by side; the lanes of a product are rows.
impl Tiles for DotProd {
    const KIND: Kind = Kind::Rows;

    #[inline(always)]
    fn put(rows: [[int8x16_t; 2]; ROWS], panel: &mut [Vector; INTEGERS]) {
        for sixteen in 0..2 {
            let quads = |first: usize| transposed(std::array::from_fn(|r| rows[first + r][sixteen]));
            for (g, (low, high)) in quads(0).into_iter().zip(quads(4)).enumerate() {
                store(&mut panel[4 * sixteen + g], [low, high]);
            }
        }
    }

    #[inline(always)]
    fn spread(x: [(&[i8; 32], Factors); TOKENS], n: usize, input: &mut [Vector]) {
        Neon::spread(x, n, input);
    }

    #[inline(always)]
    unsafe fn tile<const T: usize, const SUBS: usize, const MINS: bool, const SMALL: bool>(
        panel: &[Vector],
        input: &[Vector],
        out: Out,
    ) {
        let Steps { n, mut panel, mut input } = Steps::new::<T, SUBS, MINS>(panel, input);
        let mut acc = [[zero(); 2]; T];
        for _ in 0..n {
            let mut factors = [zero(); T];
            for t in 0..T {
                // SAFETY: the steps are there; a token's input is four sixteens.
                factors[t] = unsafe { floats(input, 4 * t + 2) };
            }
            // Adds those of a half of the step.
            let add = |sixteen: usize, products: [[int32x4_t; T]; 2]| {
                // SAFETY: as above; a quad of eight rows is two sixteens.
                let quad = |g| unsafe { [0, 1].map(|half| integers(panel, 2 * (4 * sixteen + g) + half)) };
                // SAFETY: as above.
                let x = std::array::from_fn(|t| unsafe { integers(input, 4 * t + sixteen) });
                let products = add_quad::<T, 0>(products, quad(0), x);
                let products = add_quad::<T, 1>(products, quad(1), x);
                let products = add_quad::<T, 2>(products, quad(2), x);
                add_quad::<T, 3>(products, quad(3), x)
            };
            let none = [[vdupq_n_s32(0); T]; 2];
            let first = add(0, none);
            // SAFETY: `panel` is the start of a step.
            unsafe {
                if SUBS == 2 {
                    add_scaled::<T, SUBS, MINS>(&mut acc, first, factors, panel, 0);
                    add_scaled::<T, SUBS, MINS>(&mut acc, add(1, none), factors, panel, 1);
                } else {
                    add_scaled::<T, SUBS, MINS>(&mut acc, add(1, first), factors, panel, 0);
                }
            }
            // SAFETY: at most one past the end.
            (panel, input) =
                unsafe { (panel.add(32 * panel_step(SUBS, MINS)), input.add(32 * ROW_INPUT * T)) };
        }
        for (t, acc) in acc.into_iter().enumerate() {
            // SAFETY: by the contract.
            unsafe { finish(out, t, acc) };
        }
    }
}

/// Adds the products of four elements of K, the `LANE`th of the tokens' sixteen.
#[inline(always)]
fn add_quad<const T: usize, const LANE: usize>(
    mut products: [[int32x4_t; T]; 2],
    w: [int8x16_t; 2],
    x: [int8x16_t; T],
) -> [[int32x4_t; T]; 2] {
    for (products, w) in products.iter_mut().zip(w) {
        for (product, x) in products.iter_mut().zip(x) {
            *product = sdot_lane::<LANE>(*product, w, x);
        }
    }
    products
}

/// With SMMLA, where SDOT is there too.
pub(super) struct I8mm;

/// Eight elements of K of two rows side by side, and of two tokens; the lanes of a product are two rows' and two
/// tokens'. A last token without another stands for two.
impl Tiles for I8mm {
    const KIND: Kind = Kind::Pairs;

    #[inline(always)]
    fn put(rows: [[int8x16_t; 2]; ROWS], panel: &mut [Vector; INTEGERS]) {
        for sixteen in 0..2 {
            let pair = |p: usize| {
                let (a, b) = (rows[2 * p][sixteen], rows[2 * p + 1][sixteen]);
                let (a, b) = (vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b));
                [vzip1q_s64(a, b), vzip2q_s64(a, b)].map(|v| vreinterpretq_s8_s64(v))
            };
            let pairs = [pair(0), pair(1), pair(2), pair(3)];
            for octet in 0..2 {
                let at = 2 * (2 * sixteen + octet);
                store(&mut panel[at], [pairs[0][octet], pairs[1][octet]]);
                store(&mut panel[at + 1], [pairs[2][octet], pairs[3][octet]]);
            }
        }
    }

    #[inline(always)]
    fn spread(x: [(&[i8; 32], Factors); TOKENS], n: usize, input: &mut [Vector]) {
        for (x, input) in x[..n].chunks(2).zip(input.chunks_mut(2 * ROW_INPUT)) {
            let &[(a, a_factors), (b, b_factors)] = x else {
                put_token(x[0], input);
                continue;
            };
            let octets = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
            for ((a, b), to) in octets.zip(bytemuck::cast_slice_mut::<_, [i8; 16]>(input)) {
                to[..8].copy_from_slice(a);
                to[8..].copy_from_slice(b);
            }
            let factors = Vector::floats_of(&mut input[2..]).as_chunks_mut::<4>().0;
            for ((to, a), b) in factors.iter_mut().zip(a_factors).zip(b_factors) {
                *to = [a, b, a, b];
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<const T: usize, const SUBS: usize, const MINS: bool, const SMALL: bool>(
        panel: &[Vector],
        input: &[Vector],
        out: Out,
    ) {
        let Steps { n, mut panel, mut input } = Steps::new::<T, SUBS, MINS>(panel, input);
        // Of two pairs of tokens and four pairs of rows; as many as there are.
        let none = [[vdupq_n_s32(0); 4]; TOKENS / 2];
        let mut acc = [[zero(); 4]; TOKENS / 2];
        for _ in 0..n {
            // SAFETY: the steps are there.
            unsafe {
                let first = add_octet::<T>(none, panel, input, 0);
                let mut products = add_octet::<T>(first, panel, input, 1);
                if SUBS == 2 {
                    add_scaled_pairs::<T, SUBS, MINS>(&mut acc, products, panel, input, 0);
                    products = none;
                }
                let third = add_octet::<T>(products, panel, input, 2);
                let products = add_octet::<T>(third, panel, input, 3);
                add_scaled_pairs::<T, SUBS, MINS>(&mut acc, products, panel, input, SUBS - 1);
            }
            // SAFETY: at most one past the end.
            (panel, input) =
                unsafe { (panel.add(32 * panel_step(SUBS, MINS)), input.add(32 * ROW_INPUT * T)) };
        }
        for (pair, acc) in acc.iter().enumerate().take(T.div_ceil(2)) {
            // SAFETY: by the contract.
            unsafe {
                finish(out, 2 * pair, [vuzp1q_f32(acc[0], acc[1]), vuzp1q_f32(acc[2], acc[3])]);
                if whole::<T>(pair) {
                    finish(out, 2 * pair + 1, [vuzp2q_f32(acc[0], acc[1]), vuzp2q_f32(acc[2], acc[3])]);
                }
            }
        }
    }
}

/// Whether a pair of T tokens has two.
#[inline(always)]
fn whole<const T: usize>(pair: usize) -> bool {
    2 * pair + 1 < T
}

/// Adds the products of eight elements of K, the `octet`th of a step.
///
/// # Safety
/// `panel` and `input` must be the start of a step.
#[inline(always)]
unsafe fn add_octet<const T: usize>(
    mut products: [[int32x4_t; 4]; TOKENS / 2],
    panel: *const u8,
    input: *const u8,
    octet: usize,
) -> [[int32x4_t; 4]; TOKENS / 2] {
    // SAFETY: by the contract; an octet of eight rows is four sixteens.
    let w: [_; 4] = std::array::from_fn(|p| unsafe { integers(panel, 4 * octet + p) });
    for (pair, products) in products.iter_mut().enumerate().take(T.div_ceil(2)) {
        // SAFETY: by the contract; a pair's input is eight sixteens, a token's four.
        let x = unsafe {
            let at = input.add(128 * pair);
            match whole::<T>(pair) {
                true => integers(at, octet),
                false => vreinterpretq_s8_s64(vld1q_dup_s64(at.add(8 * octet).cast())),
            }
        };
        for (product, w) in products.iter_mut().zip(w) {
            *product = smmla(*product, w, x);
        }
    }
    products
}

/// As [`add_scaled`], of pairs of rows and of tokens.
///
/// # Safety
/// `panel` and `input` must be the start of a step.
#[inline(always)]
unsafe fn add_scaled_pairs<const T: usize, const SUBS: usize, const MINS: bool>(
    acc: &mut [[float32x4_t; 4]; TOKENS / 2],
    products: [[int32x4_t; 4]; TOKENS / 2],
    panel: *const u8,
    input: *const u8,
    sub: usize,
) {
    // A factor of a pair's two tokens, for their places in the lanes.
    // SAFETY: by the contract.
    let factor = |pair: usize, which: usize| unsafe {
        let at = input.add(128 * pair);
        match whole::<T>(pair) {
            true => floats(at, 4 + which),
            false => vld1q_dup_f32(at.add(32 + 4 * which).cast()),
        }
    };
    // A factor of four rows, each for its two places.
    // SAFETY: by the contract.
    let of_rows = |at: usize, half: usize| unsafe {
        let v = floats(panel, 2 * at + half);
        [vzip1q_f32(v, v), vzip2q_f32(v, v)]
    };
    let sum = if SUBS == 1 { 1 } else { 2 + sub };
    for half in 0..2 {
        let scale = of_rows(INTEGERS + sub, half);
        for (pair, acc) in acc.iter_mut().enumerate().take(T.div_ceil(2)) {
            for i in 0..2 {
                let p = 2 * half + i;
                let scale = vmulq_f32(scale[i], factor(pair, 0));
                acc[p] = vfmaq_f32(acc[p], vcvtq_f32_s32(products[pair][p]), scale);
                if MINS {
                    let min = of_rows(INTEGERS + SUBS + sub, half)[i];
                    acc[p] = vfmaq_f32(acc[p], min, factor(pair, sum));
                }
            }
        }
    }
}

#[inline(always)]
fn store(to: &mut Vector, [low, high]: [int8x16_t; 2]) {
    // SAFETY: two stores to 16 of the 32 bytes.
    unsafe {
        vst1q_s8(to.0.as_mut_ptr().cast(), low);
        vst1q_s8(to.0.as_mut_ptr().add(16).cast(), high);
    }
}

/// Four by four lanes of four bytes, transposed.
#[inline(always)]
fn transposed(rows: [int8x16_t; 4]) -> [int8x16_t; 4] {
    let [a, b, c, d] = rows.map(|v| vreinterpretq_s32_s8(v));
    let wide = |v| vreinterpretq_s64_s32(v);
    let (ab, cd) =
        ([wide(vtrn1q_s32(a, b)), wide(vtrn2q_s32(a, b))], [wide(vtrn1q_s32(c, d)), wide(vtrn2q_s32(c, d))]);
    [vtrn1q_s64(ab[0], cd[0]), vtrn1q_s64(ab[1], cd[1]), vtrn2q_s64(ab[0], cd[0]), vtrn2q_s64(ab[1], cd[1])]
        .map(|v| vreinterpretq_s8_s64(v))
}
