//! The products with many tokens and with one.

use brooklet_kernels::TensorType::{self, *};
use brooklet_kernels::format::{decode, encode};
use brooklet_kernels::{Activations, FEW_TOKENS, Kernels, Panel, Q8Buffer, Spread, VecDot, all, tiles};

fn values(n: usize, seed: u32) -> Vec<f32> {
    (0..n as u32)
        .map(|i| (i.wrapping_mul(2654435761).wrapping_add(seed) >> 8) as f32 / 8388608.0 - 1.0)
        .collect()
}

/// Of Σ |w · x|, where only the order of additions may differ from one product at a time. The largest difference seen is 1.3e-6.
const SUMMED: f32 = 2e-6;

/// Weights, tokens and the products of all, one at a time.
struct Case {
    ty: TensorType,
    n_rows: usize,
    n_tokens: usize,
    w: Vec<u8>,
    x: Vec<f32>,
    q8: Q8Buffer,
    expected: Vec<f32>,
    /// Σ |w · x| of each.
    magnitude: Vec<f32>,
}

impl Case {
    fn new(kernels: &Kernels, ty: TensorType, n_rows: usize, k: usize, n_tokens: usize) -> Self {
        Case::of(kernels, ty, k, values(n_rows * k, 1), values(n_tokens * k, 2))
    }

    fn of(kernels: &Kernels, ty: TensorType, k: usize, w: Vec<f32>, x: Vec<f32>) -> Self {
        let (n_rows, n_tokens) = (w.len() / k, x.len() / k);
        let weights = w;
        let mut w = vec![0; ty.bytes_for(n_rows * k).unwrap()];
        encode(ty, &weights, &mut w);
        let mut q8 = Q8Buffer::with_capacity(x.len().next_multiple_of(32));
        if ty.is_quantized() {
            q8.quantize(kernels, &x, k);
        }
        let (mut expected, mut magnitude) = (Vec::new(), Vec::new());
        let mut floats = vec![0.0; k];
        for t in 0..n_tokens {
            for w in w.chunks(ty.bytes_for(k).unwrap()) {
                decode(ty, w, &mut floats);
                magnitude.push(floats.iter().zip(&x[t * k..]).map(|(w, x)| (w * x).abs()).sum());
                expected.push(match (kernels.vec_dot)(ty) {
                    VecDot::Float(dot) => dot(w, &x[t * k..(t + 1) * k]),
                    VecDot::Q8(dot) => dot(w, q8.row(t)),
                });
            }
        }
        Case { ty, n_rows, n_tokens, w, x, q8, expected, magnitude }
    }

    fn activations(&self) -> Activations<'_> {
        if self.ty.is_quantized() { Activations::Q8(&self.q8) } else { Activations::Float { x: &self.x } }
    }

    fn row_bytes(&self) -> usize {
        self.w.len() / self.n_rows
    }

    fn check(&self, kernels: &Kernels, out: &[f32]) {
        self.check_within(kernels, out, SUMMED);
    }

    fn check_within(&self, kernels: &Kernels, out: &[f32], part_of_magnitude: f32) {
        assert_eq!(out.len(), self.expected.len());
        for ((result, expected), magnitude) in out.iter().zip(&self.expected).zip(&self.magnitude) {
            let bound = part_of_magnitude * magnitude;
            let (name, ty) = (kernels.name, self.ty);
            assert!((result - expected).abs() <= bound, "{name}, {ty}: {result}, {expected}");
        }
    }
}

/// The product as a whole, in tiles of `tile_rows` on threads of their own, of the tokens from `first` to `end`.
fn product(kernels: &Kernels, case: &Case, tile_rows: usize, tokens: std::ops::Range<usize>) -> Vec<f32> {
    let k = case.x.len() / case.n_tokens;
    let x = &case.x[tokens.start * k..tokens.end * k];
    let mut q8 = Q8Buffer::with_capacity(x.len().next_multiple_of(32));
    if case.ty.is_quantized() {
        for (mut part, x) in q8.parts(tokens.len(), k, 2).into_iter().zip(x.chunks(2 * k)) {
            part.quantize(kernels, x);
        }
    }
    let x = if case.ty.is_quantized() { Activations::Q8(&q8) } else { Activations::Float { x } };
    let mut spread = Spread::default();
    for mut part in spread.parts(kernels, case.ty, k, tokens.len()) {
        kernels.spread(case.ty, x, &mut part);
    }
    assert!(spread.parts(kernels, case.ty, k, tokens.len()).is_empty(), "nothing is spread twice");
    let mut out = vec![f32::NAN; case.n_rows * tokens.len()];
    std::thread::scope(|scope| {
        for mut tile in tiles(&mut out, case.n_rows, tile_rows) {
            let spread = &spread;
            let mut work = move || {
                let (rows, size) = (tile.rows(), case.row_bytes());
                let w = &case.w[rows.start * size..rows.end * size];
                kernels.matmul(case.ty, w, k, (x, spread), &mut tile, &mut Panel::default());
            };
            // WebAssembly has no threads.
            if cfg!(target_family = "wasm") {
                work();
            } else {
                scope.spawn(work);
            }
        }
    });
    out
}

/// Whether operands of many tokens are rounded to 16 bits. Of Σ |w · x| of 256 elements the largest differences seen are
/// 2.1e-5 and, where all products are the largest there can be, 5.7e-5.
fn rounds(kernels: &Kernels, ty: TensorType) -> bool {
    kernels.name == "amx" && ty.is_quantized()
}

/// Odd numbers of rows and tokens, K below, equal to and beyond the chunks of K; every number of tokens that a tile may have.
#[test]
fn few_are_as_many_as_matmul_few_takes() {
    for kernels in all() {
        for few in [kernels.few.quantized, kernels.few.floats] {
            assert!((1..=FEW_TOKENS).contains(&few), "{}: {few}", kernels.name);
        }
    }
}

#[test]
fn results_depend_on_row_and_token_alone_and_are_the_products() {
    for kernels in all() {
        for ty in TensorType::ALL {
            let sizes = [(7, 256, 2), (19, 256, 5), (9, 768, 13), (33, 1280, 3), (83, 256, 37)];
            // Each also with one fewer, below. AMX takes sixteen at a time, of at most 192.
            let many = (kernels.name == "amx").then_some((17, 256, 200));
            let tokens = [9, 11, 12, 16, 20, 28, 31].map(|n| (17, 256, n));
            // Blocks of 32 need not fill a chunk.
            let part = [(9, 544, 7), (9, 352, 7)].into_iter().filter(|_| ty.block_len() <= 32);
            for (n_rows, k, n_tokens) in sizes.into_iter().chain(tokens).chain(part).chain(many) {
                let case = Case::new(kernels, ty, n_rows, k, n_tokens);
                let whole = product(kernels, &case, n_rows, 0..n_tokens);
                case.check_within(kernels, &whole, if rounds(kernels, ty) { 3e-5 } else { SUMMED });
                for tile_rows in [if n_rows < 40 { 1 } else { 48 }, 8, 100] {
                    assert_eq!(
                        product(kernels, &case, tile_rows, 0..n_tokens),
                        whole,
                        "{}, {ty}",
                        kernels.name
                    );
                }
                let some = product(kernels, &case, 16, 1..n_tokens);
                assert_eq!(some, whole[n_rows..], "{}, {ty}, fewer tokens", kernels.name);
            }
        }
    }
}

/// The largest integers that each type has, of one sign and of both: a sum that did not fit would be far off.
#[test]
fn extreme_integers_do_not_overflow() {
    let sign =
        |i: usize, period: usize| if period == 0 || (i / period).is_multiple_of(2) { 1.0 } else { -1.0 };
    for kernels in all() {
        for ty in TensorType::ALL {
            for (w_period, x_period) in [(0, 0), (1, 1), (0, 1), (16, 16), (2, 0)] {
                let w = (0..8 * 512).map(|i| -sign(i, w_period)).collect();
                let x = (0..5 * 512).map(|i| sign(i, x_period)).collect();
                let case = Case::of(kernels, ty, 512, w, x);
                let out = product(kernels, &case, 8, 0..5);
                case.check_within(kernels, &out, if rounds(kernels, ty) { 1e-4 } else { SUMMED });
            }
        }
    }
}

/// Blocks of very different scales in a row and in a token, and blocks, rows and tokens of zeros: what AMX rounds is measured
/// by the largest product that 256 elements of both could have.
#[test]
fn small_blocks_beside_large_ones_and_zeros() {
    for kernels in all() {
        for ty in TensorType::ALL.into_iter().filter(|ty| ty.is_quantized()) {
            let (k, n_tokens) = (512, 20);
            let scaled = |values: Vec<f32>, scales: [f32; 5]| -> Vec<f32> {
                values
                    .iter()
                    .enumerate()
                    .map(|(i, v)| v * scales[i / 32 % 5] * f32::from(i / k % 7 != 3))
                    .collect()
            };
            let w = scaled(values(20 * k, 1), [1.0, 1e-3, 0.0, 1e-2, 0.1]);
            let x = scaled(values(n_tokens * k, 2), [1e-5, 1e3, 1.0, 0.0, 1e-3]);
            let largest = |v: &[f32]| v.iter().fold(0.0, |max: f32, v| max.max(v.abs()));
            let (bound, case) = (largest(&w) * largest(&x), Case::of(kernels, ty, k, w, x));
            let out = product(kernels, &case, 16, 0..n_tokens);
            for (result, expected) in out.iter().zip(&case.expected) {
                let error = (result - expected).abs() / bound;
                // The largest seen: 5.6e-4 with AMX, else 5.9e-6.
                let most = if rounds(kernels, ty) { 1e-3 } else { 1e-5 };
                assert!(error < most, "{}, {ty}: off by {error:e}", kernels.name);
                assert!(*expected != 0.0 || *result == 0.0, "{}, {ty}: {result} of zeros", kernels.name);
            }
        }
    }
}

/// In a row or a token with what is no number every result is none, and no other result.
#[test]
fn what_is_no_number_shows_in_its_results_alone() {
    for kernels in all() {
        for ty in TensorType::ALL {
            let (n_rows, k, n_tokens) = (20, 512, 20);
            let mut x = values(n_tokens * k, 2);
            x[3 * k + 300] = f32::NAN;
            x[5 * k + 5] = f32::INFINITY;
            let mut case = Case::of(kernels, ty, k, values(n_rows * k, 1), x);
            // Every type's blocks end or begin with an f16 or a float that all bits set make no number.
            let row = case.row_bytes();
            let block = ty.block_bytes();
            case.w[7 * row + row - block..8 * row].fill(0xff);
            let out = product(kernels, &case, 16, 0..n_tokens);
            for (i, result) in out.iter().enumerate() {
                let (t, r) = (i / n_rows, i % n_rows);
                let finite = r != 7 && t != 3 && t != 5;
                assert_eq!(
                    result.is_finite(),
                    finite,
                    "{}, {ty}, row {r}, token {t}: {result}",
                    kernels.name
                );
            }
        }
    }
}

/// Elements of K beyond whole vectors, which only float types have.
#[test]
fn float_rows_of_any_length() {
    for kernels in all() {
        for ty in [F32, F16, BF16] {
            for k in [1, 3, 45, 600] {
                let case = Case::new(kernels, ty, 5, k, 7);
                let out = product(kernels, &case, 3, 0..7);
                case.check(kernels, &out);
            }
        }
    }
}

#[test]
fn activations_that_were_not_spread_panic() {
    for kernels in all() {
        let mut q8 = Q8Buffer::with_capacity(64);
        q8.quantize(kernels, &[0.0; 64], 32);
        let spreads = !Spread::default().parts(kernels, Q4_0, 32, 2).is_empty();
        let outcome = std::panic::catch_unwind(|| {
            let (mut out, x) = ([0.0; 2], (Activations::Q8(&q8), &Spread::default()));
            kernels.matmul(Q4_0, &[0; 18], 32, x, &mut tiles(&mut out, 1, 1)[0], &mut Panel::default());
        });
        let message = outcome.err().and_then(|e| e.downcast::<String>().ok()).unwrap_or_default();
        assert_eq!(message.contains("activations spread for another matrix"), spreads, "{}", kernels.name);
    }
}

#[test]
fn matvec_is_close_to_the_single_products() {
    for kernels in all() {
        for ty in TensorType::ALL {
            let k = 3 * 256;
            let case = Case::new(kernels, ty, 11, k, 1);
            let mut out = vec![f32::NAN; 11];
            kernels.matvec(ty, &case.w, k, case.activations(), &mut out);
            for (ours, expected) in out.iter().zip(&case.expected) {
                let error = (ours - expected).abs() / (k as f32).sqrt();
                // The largest seen: 1.1e-6, where sums are of Σ |w · x| ≈ 250.
                assert!(error < 2e-6, "{}, {ty}: off by {error:e}", kernels.name);
            }
        }
    }
}

#[test]
fn a_row_of_a_matvec_does_not_depend_on_its_neighbours() {
    for kernels in all() {
        for ty in TensorType::ALL {
            // The types of 32 elements a block also in rows that end within 256, floats in rows that end anywhere.
            for k in [512, 512 + 32, 512 + 224, 3, 45, 607].into_iter().filter(|&k| ty.bytes_for(k).is_some())
            {
                let case = Case::new(kernels, ty, 9, k, 1);
                let mut whole = vec![f32::NAN; 9];
                kernels.matvec(ty, &case.w, k, case.activations(), &mut whole);
                for size in [1, 2, 4] {
                    let mut parts = vec![f32::NAN; 9];
                    for (out, w) in parts.chunks_mut(size).zip(case.w.chunks(size * case.row_bytes())) {
                        kernels.matvec(ty, w, k, case.activations(), out);
                    }
                    assert_eq!(parts, whole, "{}, {ty}, {k}, {size} rows at once", kernels.name);
                }
            }
        }
    }
}

#[test]
fn few_tokens_get_the_bits_of_each_alone() {
    for kernels in all() {
        for ty in TensorType::ALL {
            // The last two are longer than what is taken of a row in one go; rows of floats end anywhere.
            let lengths = [1, 3, 45, 607, 512, 512 + 32, 512 + 224, 7 * 256, 7 * 256 + 32];
            for k in lengths.into_iter().filter(|&k| ty.bytes_for(k).is_some()) {
                for n in if k < 1024 { 1..=FEW_TOKENS } else { FEW_TOKENS..=FEW_TOKENS } {
                    // Two panels of sixteen, and rows beyond them in either tile.
                    let rows = 37;
                    let case = Case::new(kernels, ty, rows, k, n);
                    let mut out = vec![f32::NAN; rows * n];
                    for tile in &mut tiles(&mut out, rows, 34) {
                        let w =
                            &case.w[tile.rows().start * case.row_bytes()..tile.rows().end * case.row_bytes()];
                        kernels.matmul_few(ty, w, k, case.activations(), tile);
                    }
                    for (t, out) in out.chunks_exact(rows).enumerate() {
                        let x = &case.x[t * k..(t + 1) * k];
                        let mut q8 = Q8Buffer::with_capacity(k);
                        if ty.is_quantized() {
                            q8.quantize(kernels, x, k);
                        }
                        let lone =
                            if ty.is_quantized() { Activations::Q8(&q8) } else { Activations::Float { x } };
                        let mut alone = vec![f32::NAN; rows];
                        kernels.matvec(ty, &case.w, k, lone, &mut alone);
                        assert_eq!(out, alone, "{}, {ty}, {k}, token {t} of {n}", kernels.name);
                    }
                }
            }
        }
    }
}

#[test]
fn tiles_cover_every_row_once() {
    let mut out = [0.0; 3 * 10];
    let mut tiles = tiles(&mut out, 10, 4);
    assert_eq!(tiles.iter().map(|t| t.rows()).collect::<Vec<_>>(), [0..4, 4..8, 8..10]);
    for (i, tile) in tiles.iter_mut().enumerate() {
        assert_eq!(tile.n_tokens(), 3);
        for t in 0..3 {
            for v in tile.token_mut(t) {
                *v += (10 * t + i) as f32;
            }
        }
    }
    drop(tiles);
    for (i, v) in out.iter().enumerate() {
        assert_eq!(*v, (10 * (i / 10) + i % 10 / 4) as f32);
    }
}

#[test]
#[should_panic(expected = "weight bytes of 2 rows of 32 elements of Q4_0")]
fn weights_of_another_size_panic() {
    let mut q8 = Q8Buffer::with_capacity(32);
    q8.quantize(all()[0], &[0.0; 32], 32);
    all()[0].matvec(Q4_0, &[0; 35], 32, Activations::Q8(&q8), &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "the wrong kind of activations")]
fn float_activations_for_quantized_weights_panic() {
    all()[0].matvec(Q4_0, &[0; 18], 32, Activations::Float { x: &[0.0; 32] }, &mut [0.0; 1]);
}

#[test]
fn a_quantized_buffer_is_reused_for_rows_of_another_length() {
    let mut buffer = Q8Buffer::with_capacity(256);
    buffer.quantize(all()[0], &values(256, 3), 64);
    assert_eq!((buffer.rows(), buffer.k()), (4, 64));
    buffer.quantize(all()[0], &values(96, 3), 96);
    assert_eq!((buffer.rows(), buffer.k()), (1, 96));
    assert_eq!(buffer.row(0).qs.len(), 96);
}
