//! The kernels of attention and the layout they read, on every kernel set, against exact sums.

use brooklet_kernels::TensorType::{self, F16, F32, Q8_0};
use brooklet_kernels::format::{decode, encode};
use brooklet_kernels::{KEY_BLOCK, KvLayout, PANEL, Rows, RowsMut, all};

/// Pseudo-random numbers between -1 and 1, the same every time.
fn random(seed: u64) -> impl FnMut(usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 32) as u32 as f32 / 2f32.powi(31) - 1.0
    };
    move |n| (0..n).map(|_| next()).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// What is stored and read again, a row at a time.
fn as_stored(ty: TensorType, x: &[f32]) -> Vec<f32> {
    let mut padded = x.to_vec();
    padded.resize(x.len().next_multiple_of(PANEL), 0.0);
    let mut bytes = vec![0; ty.bytes_for(padded.len()).unwrap()];
    encode(ty, &padded, &mut bytes);
    decode(ty, &bytes, &mut padded);
    padded.truncate(x.len());
    padded
}

/// Any head width, any order of positions: keys come back from their columns and values from their rows.
#[test]
fn keys_and_values_lie_where_the_layout_says() {
    let mut random = random(1);
    for ty in KvLayout::TYPES {
        for head_dim in [8, 20, 32, 64, 80, 128] {
            let layout = KvLayout::new(ty, head_dim).unwrap();
            let mut block = vec![0xff; layout.block_bytes()];
            layout.clear(&mut block, 0);
            let rows: Vec<_> = (0..KEY_BLOCK).map(|_| (random(head_dim), random(head_dim))).collect();
            for at in (0..KEY_BLOCK).rev() {
                layout.store(all()[0], &mut block, at, &rows[at].0, &rows[at].1);
            }
            for kernels in all() {
                let what = format!("{}, {ty}, {head_dim}", kernels.name);
                let decode_panel = |f: fn(TensorType, &[u8], &mut [f32]), panel: &[u8], n: usize| {
                    let mut out = vec![f32::NAN; n * PANEL];
                    if ty == F32 {
                        decode(F32, panel, &mut out)
                    } else {
                        f(ty, panel, &mut out)
                    }
                    out
                };
                for at in 0..KEY_BLOCK {
                    let panel = layout.keys(&block, at / PANEL);
                    let panel = decode_panel(kernels.attention.decode_keys, panel, layout.padded_dim());
                    let key: Vec<f32> = (0..head_dim).map(|i| panel[i * PANEL + at % PANEL]).collect();
                    assert_eq!(bits(&key), bits(&as_stored(ty, &rows[at].0)), "{what}, key {at}");
                    let mut value = Vec::new();
                    for c in 0..head_dim.div_ceil(PANEL) {
                        let panel = layout.values(&block, c);
                        let panel = decode_panel(kernels.attention.decode_values, panel, KEY_BLOCK);
                        value.extend_from_slice(&panel[at * PANEL..][..PANEL]);
                    }
                    value.truncate(head_dim);
                    assert_eq!(bits(&value), bits(&as_stored(ty, &rows[at].1)), "{what}, value {at}");
                }
            }
            // Cleared from a position on, it is as if no more had been stored.
            let mut short = vec![0; layout.block_bytes()];
            for (at, (key, value)) in rows.iter().enumerate().take(37) {
                layout.store(all()[0], &mut short, at, key, value);
            }
            layout.clear(&mut block, 37);
            assert!(block == short, "{ty}, {head_dim}");
        }
    }
    assert!(KvLayout::new(TensorType::Q4_0, 64).is_none());
}

/// Off by at most 4e-7 of Σ |a·b| for 64 terms one after the other (measured: 1.9e-7), and to the bit the same for
/// a row whatever rows are beside it.
#[test]
fn multiply_sums_in_order_whatever_rows_are_beside() {
    let mut random = random(2);
    let mut largest = 0f64;
    for ty in [F32, F16] {
        for n in [0, 1, 2, 3, 8, 33, 64] {
            let mut panel = vec![0; ty.bytes_for(n * PANEL).unwrap()];
            encode(ty, &random(n * PANEL), &mut panel);
            let mut b = vec![f32::NAN; n * PANEL];
            decode(ty, &panel, &mut b);
            for rows in [1, 2, 3, 4, 5, 6, 7, 8, 48] {
                let (a, before) = (random(rows * (n + 3)), random(rows * (PANEL + 5)));
                for kernels in all() {
                    let run = |first: usize, count: usize| {
                        let mut out = before.clone();
                        let a = Rows { data: &a[first * (n + 3)..], stride: n + 3 };
                        let data = &mut out[first * (PANEL + 5)..];
                        (kernels.attention.multiply)(
                            ty,
                            &panel,
                            count,
                            a,
                            RowsMut { data, stride: PANEL + 5 },
                        );
                        out
                    };
                    let what = format!("{}, {ty}, {n} terms, {rows} rows", kernels.name);
                    let out = run(0, rows);
                    for r in 0..rows {
                        let (from, to) = (r * (PANEL + 5), (r + 1) * (PANEL + 5));
                        assert_eq!(bits(&run(r, 1)[from..to]), bits(&out[from..to]), "{what}");
                        assert_eq!(
                            out[from + PANEL..to],
                            before[from + PANEL..to],
                            "{what}: beyond the panel"
                        );
                        for j in 0..PANEL {
                            let start = f64::from(before[from + j]);
                            let terms =
                                (0..n).map(|i| f64::from(a[r * (n + 3) + i]) * f64::from(b[i * PANEL + j]));
                            let (sum, abs) =
                                terms.fold((start, start.abs()), |(s, a), t| (s + t, a + t.abs()));
                            let error = (f64::from(out[from + j]) - sum).abs() / abs;
                            largest = largest.max(error);
                            assert!(error <= 4e-7, "{what}: off by {error:e}");
                        }
                    }
                }
            }
        }
    }
    println!("off by {largest:e} at most");
}

/// Over blocks of any length and spread: each probability within 1e-6 of itself and 1e-37 (measured: 3e-7).
#[test]
fn softmax_in_steps_is_close_to_exact() {
    let mut random = random(3);
    let mut largest = 0f64;
    for n in (1..=70).chain([640, 4096]) {
        // A sum of thousands of single terms would be off by more.
        for block in if n > 70 { &[64][..] } else { &[1, 7, 64] }.iter().copied() {
            for spread in [1.0, 40.0, 200.0] {
                let x: Vec<f32> = random(n).iter().map(|x| 300.0 + spread * x).collect();
                let max = x.iter().fold(f32::MIN, |m, &v| m.max(v));
                let e: Vec<f64> = x.iter().map(|&v| f64::from(v - max).exp()).collect();
                let exact_sum: f64 = e.iter().sum();
                for kernels in all() {
                    let (mut p, mut m, mut sum) = (x.clone(), f32::NEG_INFINITY, 0.0);
                    for start in (0..n).step_by(block) {
                        let end = n.min(start + block);
                        let shrink = (kernels.attention.softmax)(&mut p[start..end], &mut m, &mut sum);
                        p[..start].iter_mut().for_each(|p| *p *= shrink);
                    }
                    let what = format!("{}, {n} in {block}s with spread {spread}", kernels.name);
                    assert_eq!(m, max, "{what}");
                    for i in 0..n {
                        let exact = e[i] / exact_sum;
                        let error = (f64::from(p[i]) / f64::from(sum) - exact).abs();
                        if exact > 1e-30 {
                            largest = largest.max(error / exact);
                        }
                        // Every step that raises the maximum rounds once more, where it raises it by much only.
                        assert!(error <= 1e-6 * exact + 1e-37, "{what}: {error:e} of {exact:e}");
                    }
                }
            }
        }
    }
    println!("off by {largest:e} at most");
    for kernels in all() {
        let softmax = kernels.attention.softmax;
        let (mut max, mut sum) = (f32::NEG_INFINITY, 0.0);
        let mut equal = [2.0; 13];
        softmax(&mut equal, &mut max, &mut sum);
        assert_eq!((equal, max, sum), ([1.0; 13], 2.0, 13.0), "{}", kernels.name);
        let shrink = softmax(&mut [-3.0; 9], &mut max, &mut sum);
        assert_eq!((shrink, max), (1.0, 2.0), "{}: smaller scores change nothing before", kernels.name);
        for n in [5, 20] {
            let mut broken = vec![1.0; n];
            broken[n - 2] = f32::NAN;
            softmax(&mut broken, &mut max, &mut sum);
            assert!(sum.is_nan(), "{}: NaN shows", kernels.name);
            (max, sum) = (f32::NEG_INFINITY, 0.0);
        }
    }
}

/// Within 4e-7 of the head's largest element.
#[test]
fn heads_are_normed_and_turned() {
    let mut random = random(4);
    for (n, half) in [(8, 4), (16, 8), (20, 10), (32, 16), (64, 32), (80, 40), (128, 64), (128, 32), (40, 0)]
    {
        let (x, w, angles, eps) = (random(n), random(n), random(half), 1e-5f32);
        let (sin, cos): (Vec<f32>, Vec<f32>) = angles.iter().map(|a| (3.0 * a).sin_cos()).unzip();
        let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / n as f64;
        let norm = 0.125 / (mean + f64::from(eps)).sqrt();
        let normed: Vec<f64> = x.iter().zip(&w).map(|(x, w)| f64::from(*x) * f64::from(*w) * norm).collect();
        let mut exact = normed.clone();
        for i in 0..half {
            let (a, b, cos, sin) = (normed[i], normed[half + i], f64::from(cos[i]), f64::from(sin[i]));
            (exact[i], exact[half + i]) = (a * cos - b * sin, b * cos + a * sin);
        }
        let scale = normed.iter().fold(0f64, |m, v| m.max(v.abs()));
        for kernels in all() {
            let mut head = x.clone();
            (kernels.attention.norm_rotate)(&mut head, &w, eps, &cos, &sin, 0.125);
            for (ours, exact) in head.iter().zip(&exact) {
                let error = (f64::from(*ours) - exact).abs() / scale;
                assert!(error <= 4e-7, "{}, {n}, {half}: off by {error:e}", kernels.name);
            }
        }
    }
}

/// What is stored as Q8_0 is off by half a step at most, of 127 to the largest of 32 dimensions, plus the rounding
/// of the scale to f16.
#[test]
fn q8_0_is_off_by_half_a_step() {
    let mut random = random(5);
    for x in [random(64), random(64).iter().map(|x| 50.0 * x).collect()] {
        for (x, stored) in x.chunks(32).zip(as_stored(Q8_0, &x).chunks(32)) {
            let largest = x.iter().fold(0f32, |m, x| m.max(x.abs()));
            for (x, stored) in x.iter().zip(stored) {
                assert!((x - stored).abs() <= largest * (0.5 / 127.0 + 0.0005), "{x} became {stored}");
            }
        }
    }
}
