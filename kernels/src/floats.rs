//! Products of float weights with one token or a few, straight from the bytes of the file.
//!
//! Some rows are taken side by side with some tokens, so that a vector of weights is made once for these tokens and one of
//! activations read once for these rows. Every product of a row and a token has partial sums of its own: a result does not
//! depend on the rows and tokens around it.

use std::ops::Range;

use crate::format::float::{bf16_to_f32, f16_to_f32};
use crate::gemm::{STEP, even_parts, fetch};

/// Rows that are taken side by side.
pub(crate) const ROWS: usize = 4;
/// Steps of [`STEP`] elements of a block. Every vector of a step has a chain of sums, which begins anew with each block; at its end
/// the chains are added up in one order. With one token all are taken side by side, the row read from start to end; with several
/// one after the other, since there are no registers for more.
const BLOCK: usize = 32;
/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// A vector of floats.
///
/// # Safety
/// Every function needs the instructions that the vector is of. Those that load read as many elements as it has lanes, at any
/// address.
pub(crate) trait Lanes: Copy {
    /// How many there are, a divisor of [`STEP`], at least four.
    const N: usize;
    /// Most tokens that are taken side by side with [`ROWS`] rows, at most four: their sums stay in registers.
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
    for (w, out) in w.chunks_exact(x.len()).zip(out) {
        // SAFETY: by the contract.
        *out = unsafe { row::<V, W>(w, x, &look_ahead) };
    }
}

/// The product of a row and a token, as [`tile`] takes it, all chains of a block side by side.
///
/// # Safety
/// As of [`Lanes`].
#[inline(always)]
unsafe fn row<V: Lanes, W: Weight>(w: &[W::Bytes], x: &[f32], look_ahead: &impl Fn(&[u8; LINE])) -> f32 {
    assert_eq!(w.len(), x.len());
    let (k, chains_a_block) = (w.len(), STEP / V::N);
    let (w_at, x_at) = (w.as_ptr(), x.as_ptr());
    // SAFETY: by the contract; as many elements are left as are taken.
    unsafe {
        let mut sum = [[V::zero()]];
        for block in blocks(k) {
            let mut chains = [[[V::zero()]]; STEP / 4];
            let chains = &mut chains[..chains_a_block];
            for i in block {
                look_ahead_of_step::<W>(w_at.add(STEP * i), look_ahead);
                for (c, chain) in chains.iter_mut().enumerate() {
                    let at = STEP * i + V::N * c;
                    add::<V, W, 1, 1>(w_at.add(at), x_at.add(at), k, chain);
                }
            }
            for [[chain]] in chains {
                sum[0][0] = sum[0][0].add(*chain);
            }
        }
        for at in rest::<V>(k) {
            add::<V, W, 1, 1>(w_at.add(at), x_at.add(at), k, &mut sum);
        }
        let [sum, ..] = V::sums([sum[0][0], V::zero(), V::zero(), V::zero()]);
        sum + tail::<V, W>(w, x)
    }
}

/// The steps of every block.
#[inline(always)]
fn blocks(k: usize) -> impl Iterator<Item = Range<usize>> {
    let steps = k / STEP;
    (0..steps).step_by(BLOCK).map(move |first| first..steps.min(first + BLOCK))
}

/// Where the vectors behind the last whole step begin.
#[inline(always)]
fn rest<V: Lanes>(k: usize) -> impl Iterator<Item = usize> {
    (k / STEP * STEP..k / V::N * V::N).step_by(V::N)
}

/// Calls `look_ahead` with the lines that a step takes.
///
/// # Safety
/// A step must be there.
#[inline(always)]
unsafe fn look_ahead_of_step<W: Weight>(w: *const W::Bytes, look_ahead: &impl Fn(&[u8; LINE])) {
    for line in 0..STEP * size_of::<W::Bytes>() / LINE {
        // SAFETY: by the contract.
        look_ahead(unsafe { &*w.cast::<[u8; LINE]>().add(line) });
    }
}

/// The product of the elements behind the last whole vector.
// Of most rows there are none; inlined for every number of tokens it would be more code than all else.
#[inline(never)]
fn tail<V: Lanes, W: Weight>(w: &[W::Bytes], x: &[f32]) -> f32 {
    let whole = w.len() / V::N * V::N;
    w[whole..].iter().zip(&x[whole..]).map(|(&w, x)| W::value(w) * x).sum()
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
        for (start, n) in even_parts(out.len(), V::TOKENS) {
            let (x, out) = (&x[start * k..(start + n) * k], &mut out[start..start + n]);
            // The rows behind them, once.
            let next = |line: &[u8; LINE]| {
                if start == 0 {
                    fetch(line.as_ptr().wrapping_add(size_of_val(rows)), 1);
                }
            };
            // SAFETY: by the contract.
            unsafe {
                match n {
                    2 if rows.len() == ROWS * k => tile::<V, W, 2>(rows, x, first, out, next),
                    3 if rows.len() == ROWS * k => tile::<V, W, 3>(rows, x, first, out, next),
                    4 if rows.len() == ROWS * k => tile::<V, W, 4>(rows, x, first, out, next),
                    // The last rows, one by one.
                    _ => {
                        for (r, w) in (first..).zip(rows.chunks_exact(k)) {
                            for (out, x) in out.iter_mut().zip(x.chunks_exact(k)) {
                                out[r] = row::<V, W>(w, x, &|_| {});
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Puts the results of [`ROWS`] rows from `first` on and T tokens.
///
/// # Safety
/// As of [`Lanes`].
#[inline(always)]
unsafe fn tile<V: Lanes, W: Weight, const T: usize>(
    w: &[W::Bytes],
    x: &[f32],
    first: usize,
    out: &mut [&mut [f32]],
    look_ahead: impl Fn(&[u8; LINE]),
) {
    let k = w.len() / ROWS;
    assert!(w.len() == ROWS * k && x.len() == T * k);
    let (w_at, x_at) = (w.as_ptr(), x.as_ptr());
    // SAFETY: by the contract; as many elements are left of each row and token as are taken.
    let sums = unsafe {
        let mut sums = [[V::zero(); ROWS]; T];
        for block in blocks(k) {
            for c in 0..STEP / V::N {
                let mut chains = [[V::zero(); ROWS]; T];
                for i in block.clone() {
                    // Once a step, spread over all chains.
                    if i % (STEP / V::N) == c {
                        for r in 0..ROWS {
                            look_ahead_of_step::<W>(w_at.add(r * k + STEP * i), &look_ahead);
                        }
                    }
                    let at = STEP * i + V::N * c;
                    add::<V, W, ROWS, T>(w_at.add(at), x_at.add(at), k, &mut chains);
                }
                for (sums, chains) in sums.iter_mut().zip(chains) {
                    for (sum, chain) in sums.iter_mut().zip(chains) {
                        *sum = sum.add(chain);
                    }
                }
            }
        }
        for at in rest::<V>(k) {
            add::<V, W, ROWS, T>(w_at.add(at), x_at.add(at), k, &mut sums);
        }
        sums
    };
    for (t, sums) in sums.into_iter().enumerate() {
        // SAFETY: by the contract.
        let sums = unsafe { V::sums(sums) };
        for (r, sum) in sums.into_iter().enumerate() {
            let tail = tail::<V, W>(&w[r * k..(r + 1) * k], &x[t * k..(t + 1) * k]);
            out[t][first + r] = sum + tail;
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
