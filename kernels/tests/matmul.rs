//! The tiled product: every result is that of `vec_dot` on its row and token, bit for bit.

use brooklet_kernels::TensorType::{self, *};
use brooklet_kernels::format::encode;
use brooklet_kernels::{Activations, Kernels, Q8Buffer, VecDot, all, tiles};

fn values(n: usize, seed: u32) -> Vec<f32> {
    (0..n as u32)
        .map(|i| (i.wrapping_mul(2654435761).wrapping_add(seed) >> 8) as f32 / 8388608.0 - 1.0)
        .collect()
}

/// Weights, tokens and the products of all, one at a time.
struct Case {
    ty: TensorType,
    n_rows: usize,
    w: Vec<u8>,
    x: Vec<f32>,
    q8: Q8Buffer,
    expected: Vec<f32>,
}

impl Case {
    fn new(kernels: &Kernels, ty: TensorType, n_rows: usize, k: usize, n_tokens: usize) -> Self {
        let mut w = vec![0; ty.bytes_for(n_rows * k).unwrap()];
        encode(ty, &values(n_rows * k, 1), &mut w);
        let x = values(n_tokens * k, 2);
        let mut q8 = Q8Buffer::with_capacity(x.len().next_multiple_of(32));
        if ty.is_quantized() {
            q8.quantize(kernels, &x, k);
        }
        let mut expected = Vec::new();
        for t in 0..n_tokens {
            for w in w.chunks(ty.bytes_for(k).unwrap()) {
                expected.push(match (kernels.vec_dot)(ty) {
                    VecDot::Float(dot) => dot(w, &x[t * k..(t + 1) * k]),
                    VecDot::Q8(dot) => dot(w, q8.row(t)),
                });
            }
        }
        Case { ty, n_rows, w, x, q8, expected }
    }

    fn activations(&self) -> Activations<'_> {
        if self.ty.is_quantized() { Activations::Q8(&self.q8) } else { Activations::Float { x: &self.x } }
    }

    fn row_bytes(&self) -> usize {
        self.w.len() / self.n_rows
    }
}

#[test]
fn any_tiling_on_any_threads_equals_the_single_products() {
    for kernels in all() {
        for ty in [F32, F16, Q4_0, Q6_K] {
            // 300 tokens of 512 take more than one block of tokens.
            for (n_rows, k, n_tokens) in [(7, 256, 1), (13, 256, 5), (9, 512, 300)] {
                let case = Case::new(kernels, ty, n_rows, k, n_tokens);
                for tile_rows in [1, 4, n_rows, 100] {
                    let mut out = vec![f32::NAN; n_rows * n_tokens];
                    std::thread::scope(|scope| {
                        for mut tile in tiles(&mut out, n_rows, tile_rows) {
                            let case = &case;
                            scope.spawn(move || {
                                let (rows, size) = (tile.rows(), case.row_bytes());
                                let w = &case.w[rows.start * size..rows.end * size];
                                kernels.matmul(ty, w, k, case.activations(), &mut tile);
                            });
                        }
                    });
                    assert_eq!(out, case.expected, "{}, {ty}, tiles of {tile_rows}", kernels.name);
                }
            }
        }
    }
}

/// Not to the bit, as sums may be taken in another order: off by at most 1e-6 of √k, as the values lie between -1 and 1
/// (measured: 5.6e-7).
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
                assert!(error < 1e-6, "{}, {ty}: off by {error:e}", kernels.name);
            }
        }
    }
}

#[test]
fn a_row_of_a_matvec_does_not_depend_on_its_neighbours() {
    for kernels in all() {
        for ty in TensorType::ALL {
            // The types of 32 elements a block also in rows that end within 256.
            for k in [512, 512 + 32, 512 + 224].into_iter().filter(|&k| ty.bytes_for(k).is_some()) {
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
