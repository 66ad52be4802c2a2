//! Products of float weights with one token or a few, straight from the bytes of the file.
//!
//! Some rows are taken side by side with some tokens, so that a vector of weights is made once for these tokens and one of
//! activations read once for these rows. Every product of a row and a token has partial sums of its own: a result does not
//! depend on the rows and tokens around it.

use crate::format::float::{bf16_to_f32, f16_to_f32};
use crate::gemm::fetch;

/// Rows that are taken side by side.
pub(crate) const ROWS: usize = 4;
/// Vectors whose products are added up one after the other. The next as many need not wait for them.
const CHAIN: usize = 32;
/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// A vector of floats.
///
/// # Safety
/// Every function needs the instructions that the vector is of. Those that load read as many elements as it has lanes, at any
/// address.
pub(crate) trait Lanes: Copy {
    /// How many there are.
    const N: usize;
    /// Most tokens that are taken side by side with [`ROWS`] rows: their sums stay in registers.
    const TOKENS: usize;

    unsafe fn zero() -> Self;
    unsafe fn load(x: *const f32) -> Self;
    unsafe fn f16s(w: *const [u8; 2]) -> Self;
    unsafe fn bf16s(w: *const [u8; 2]) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    /// `self + w · x`.
    unsafe fn add_product(self, w: Self, x: Self) -> Self;
    /// The sums of the lanes of each.
    unsafe fn sums(v: [Self; ROWS]) -> [f32; ROWS];
}

/// A type of float weights.
pub(crate) trait Weight {
    /// The bytes of one.
    type Bytes: bytemuck::Pod;

    fn value(bytes: Self::Bytes) -> f32;

    /// As many as there are lanes.
    ///
    /// # Safety
    /// As of [`Lanes`].
    unsafe fn load<V: Lanes>(w: *const Self::Bytes) -> V;
}

pub(crate) struct F32;
pub(crate) struct F16;
pub(crate) struct BF16;

impl Weight for F32 {
    type Bytes = [u8; 4];

    fn value(bytes: [u8; 4]) -> f32 {
        f32::from_le_bytes(bytes)
    }

    #[inline(always)]
    unsafe fn load<V: Lanes>(w: *const [u8; 4]) -> V {
        // SAFETY: by the contract. These processors are little-endian.
        unsafe { V::load(w.cast()) }
    }
}

impl Weight for F16 {
    type Bytes = [u8; 2];

    fn value(bytes: [u8; 2]) -> f32 {
        f16_to_f32(bytes)
    }

    #[inline(always)]
    unsafe fn load<V: Lanes>(w: *const [u8; 2]) -> V {
        // SAFETY: by the contract.
        unsafe { V::f16s(w) }
    }
}

impl Weight for BF16 {
    type Bytes = [u8; 2];

    fn value(bytes: [u8; 2]) -> f32 {
        bf16_to_f32(bytes)
    }

    #[inline(always)]
    unsafe fn load<V: Lanes>(w: *const [u8; 2]) -> V {
        // SAFETY: by the contract.
        unsafe { V::bf16s(w) }
    }
}

/// The products of rows of weights, one after the other in `w`, and one token's activations; `out` has a result a row.
/// `look_ahead` is called with every cache line that is taken.
///
/// # Safety
/// The processor must have the instructions of V.
#[inline(always)]
pub(crate) unsafe fn one_token<V: Lanes, W: Weight>(
    w: &[u8],
    x: &[f32],
    out: &mut [f32],
    look_ahead: impl Fn(&[u8; LINE]),
) {
    let w: &[W::Bytes] = bytemuck::cast_slice(w);
    assert!(w.len() == out.len() * x.len());
    if x.is_empty() {
        return out.fill(0.0);
    }
    for (w, out) in w.chunks_exact(x.len()).zip(out.chunks_mut(1)) {
        // SAFETY: by the contract.
        unsafe { tile::<V, W, 1, 1>(w, x, 0, &mut [out], &look_ahead) };
    }
}

/// As [`one_token`], of `out.len()` tokens, whose activations are one after the other in `x`.
///
/// # Safety
/// The processor must have the instructions of V.
#[inline(always)]
pub(crate) unsafe fn few_tokens<V: Lanes, W: Weight>(w: &[u8], x: &[f32], out: &mut [&mut [f32]]) {
    let Some(n_rows) = out.first().map(|out| out.len()) else { return };
    let k = x.len() / out.len();
    let w: &[W::Bytes] = bytemuck::cast_slice(w);
    assert!(w.len() == n_rows * k && out.iter().all(|out| out.len() == n_rows));
    if k == 0 {
        return out.iter_mut().for_each(|out| out.fill(0.0));
    }
    for first in (0..n_rows).step_by(ROWS) {
        let rows = &w[first * k..n_rows.min(first + ROWS) * k];
        for (i, (x, out)) in x.chunks(V::TOKENS * k).zip(out.chunks_mut(V::TOKENS)).enumerate() {
            // The rows behind them, once.
            let next = |line: &[u8; LINE]| {
                if i == 0 {
                    fetch(line.as_ptr().wrapping_add(size_of_val(rows)), 1);
                }
            };
            // SAFETY: by the contract.
            unsafe {
                if rows.len() == ROWS * k {
                    some_tokens::<V, W, ROWS>(rows, x, first, out, next);
                } else {
                    for (row, w) in (first..).zip(rows.chunks_exact(k)) {
                        some_tokens::<V, W, 1>(w, x, row, out, next);
                    }
                }
            }
        }
    }
}

/// Puts the results of R rows from `first` on and at most [`Lanes::TOKENS`] tokens.
///
/// # Safety
/// As of [`Lanes`].
#[inline(always)]
unsafe fn some_tokens<V: Lanes, W: Weight, const R: usize>(
    w: &[W::Bytes],
    x: &[f32],
    first: usize,
    out: &mut [&mut [f32]],
    look_ahead: impl Fn(&[u8; LINE]),
) {
    // SAFETY: by the contract.
    unsafe {
        match out.len() {
            1 => tile::<V, W, R, 1>(w, x, first, out, look_ahead),
            2 => tile::<V, W, R, 2>(w, x, first, out, look_ahead),
            3 => tile::<V, W, R, 3>(w, x, first, out, look_ahead),
            4 => tile::<V, W, R, 4>(w, x, first, out, look_ahead),
            n => unreachable!("{n} tokens side by side"),
        }
    }
}

/// [`some_tokens`] of T of them.
///
/// # Safety
/// As of [`Lanes`].
#[inline(always)]
unsafe fn tile<V: Lanes, W: Weight, const R: usize, const T: usize>(
    w: &[W::Bytes],
    x: &[f32],
    first: usize,
    out: &mut [&mut [f32]],
    look_ahead: impl Fn(&[u8; LINE]),
) {
    let k = w.len() / R;
    assert!(w.len() == R * k && x.len() == T * k && R <= ROWS);
    // SAFETY: by the contract.
    let mut sums = [[unsafe { V::zero() }; ROWS]; T];
    let vectors = k / V::N;
    let a_line = LINE / (V::N * size_of::<W::Bytes>());
    for start in (0..vectors).step_by(CHAIN) {
        let end = vectors.min(start + CHAIN);
        // SAFETY: as above.
        let mut chains = [[unsafe { V::zero() }; R]; T];
        let mut i = start;
        // SAFETY: here and below, as many elements are left of each row and token as are taken.
        unsafe {
            while i + a_line <= end {
                for r in 0..R {
                    look_ahead(&*w.as_ptr().add(r * k + i * V::N).cast());
                }
                for i in i..i + a_line {
                    add::<V, W, R, T>(w.as_ptr().add(i * V::N), x.as_ptr().add(i * V::N), k, &mut chains);
                }
                i += a_line;
            }
            while i < end {
                add::<V, W, R, T>(w.as_ptr().add(i * V::N), x.as_ptr().add(i * V::N), k, &mut chains);
                i += 1;
            }
            for (sums, chains) in sums.iter_mut().zip(chains) {
                for (sum, chain) in sums.iter_mut().zip(chains) {
                    *sum = sum.add(chain);
                }
            }
        }
    }
    for (t, sums) in sums.into_iter().enumerate() {
        // SAFETY: by the contract.
        let sums = unsafe { V::sums(sums) };
        for (r, sum) in sums.into_iter().enumerate().take(R) {
            let rest = vectors * V::N..k;
            let tail = w[r * k..(r + 1) * k][rest.clone()].iter().zip(&x[t * k..(t + 1) * k][rest]);
            out[t][first + r] = sum + tail.map(|(&w, x)| W::value(w) * x).sum::<f32>();
        }
    }
}

/// Adds the products of as many elements as there are lanes; rows and tokens lie `k` elements from each other.
///
/// # Safety
/// As of [`Lanes`].
#[inline(always)]
unsafe fn add<V: Lanes, W: Weight, const R: usize, const T: usize>(
    w: *const W::Bytes,
    x: *const f32,
    k: usize,
    chains: &mut [[V; R]; T],
) {
    // SAFETY: by the contract.
    unsafe {
        let mut of_tokens = [V::zero(); T];
        for (t, of_token) in of_tokens.iter_mut().enumerate() {
            *of_token = V::load(x.add(t * k));
        }
        for r in 0..R {
            let w = W::load::<V>(w.add(r * k));
            for (chains, x) in chains.iter_mut().zip(of_tokens) {
                chains[r] = chains[r].add_product(w, x);
            }
        }
    }
}
