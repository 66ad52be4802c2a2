//! Every kernel set that this processor runs against the scalar one, the specification, or against exact sums.

use brooklet_kernels::TensorType::{self, *};
use brooklet_kernels::format::{decode, encode};
use brooklet_kernels::{Few, Gemv, Kernels, Q8Row, Q8x256, VecDot, all};

/// Pseudo-random numbers, the same every time.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 32) as u32
    }

    fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.bits()) * u64::from(n)) >> 32) as u32
    }

    /// Between -1 and 1.
    fn float(&mut self) -> f32 {
        self.bits() as f32 / 2f32.powi(31) - 1.0
    }

    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.bits() as u8).collect()
    }
}

fn scalar() -> &'static Kernels {
    all().pop().unwrap()
}

fn quantized() -> impl Iterator<Item = TensorType> {
    TensorType::ALL.into_iter().filter(|ty| ty.is_quantized())
}

/// Activations as a Q8 row's parts.
struct Activations {
    qs: Vec<i8>,
    d: Vec<f32>,
    sums: Vec<i16>,
}

impl Activations {
    fn new(qs: Vec<i8>, d: f32) -> Self {
        let sums = qs.chunks(16).map(|q| q.iter().map(|&q| i16::from(q)).sum()).collect();
        Activations { d: vec![d; qs.len() / 32], qs, sums }
    }

    fn quantize(x: &[f32]) -> Self {
        let n = x.len();
        let mut a = Activations { qs: vec![0; n], d: vec![0.0; n / 32], sums: vec![0; n / 16] };
        (scalar().quantize_q8)(x, &mut a.qs, &mut a.d, &mut a.sums);
        a
    }

    fn row(&self) -> Q8Row<'_> {
        Q8Row { qs: &self.qs, d: &self.d, sums: &self.sums }
    }

    fn values(&self) -> Vec<f64> {
        self.qs.iter().enumerate().map(|(i, &q)| f64::from(q) * f64::from(self.d[i / 32])).collect()
    }
}

/// Σ w·x and Σ |w·x|, both exact as far as f64 goes.
fn exact_dot(w: &[f32], x: &[f64]) -> (f64, f64) {
    let products = w.iter().zip(x).map(|(&w, x)| f64::from(w) * x);
    products.fold((0.0, 0.0), |(sum, abs), p| (sum + p, abs + p.abs()))
}

/// The product of a weight row and an activation row, by every way that the set has.
fn dots_q8(kernels: &Kernels, ty: TensorType, w: &[u8], x: Q8Row<'_>) -> Vec<f32> {
    let VecDot::Q8(dot) = (kernels.vec_dot)(ty) else { panic!("{ty} takes quantized activations") };
    let mut dots = vec![dot(w, x)];
    let gemvs = match (kernels.gemv)(ty) {
        Some(Gemv::Q8(gemvs)) => gemvs,
        Some(Gemv::Float(_)) => panic!("{ty} takes quantized activations"),
        None => &[],
    };
    for (n, gemv) in (1..).zip(gemvs) {
        let chunks: Vec<_> = Q8x256::chunks(n, |_| x).collect();
        let mut of_tokens = vec![[f32::NAN]; n];
        let mut out: Vec<_> = of_tokens.iter_mut().map(|dot| &mut dot[..]).collect();
        gemv(w, Few::new(&chunks, n), &mut out);
        dots.extend(of_tokens.into_flattened());
    }
    dots
}

/// As [`dots_q8`], of float weights.
fn dots_float(kernels: &Kernels, ty: TensorType, w: &[u8], x: &[f32]) -> Vec<f32> {
    let VecDot::Float(dot) = (kernels.vec_dot)(ty) else { panic!("{ty} takes floats") };
    let mut dots = vec![dot(w, x)];
    if let Some(gemv) = (kernels.gemv)(ty) {
        let Gemv::Float(gemv) = gemv else { panic!("{ty} takes floats") };
        let mut dot = [f32::NAN];
        gemv(w, x, &mut [&mut dot]);
        dots.extend(dot);
    }
    dots
}

/// Where the blocks of a type have f16 fields.
fn f16_at(ty: TensorType) -> &'static [usize] {
    match ty {
        Q4_0 | Q5_0 | Q8_0 | IQ4_NL => &[0],
        Q4_1 | Q5_1 | Q4_K | Q5_K => &[0, 2],
        Q2_K => &[80, 82],
        Q3_K => &[108],
        Q6_K => &[208],
        F32 | F16 | BF16 => &[],
    }
}

/// `n` blocks whose other fields come from `bytes` and whose f16 fields are `d`, at an odd address where `odd`.
fn blocks(ty: TensorType, n: usize, d: f32, mut bytes: impl FnMut(usize) -> Vec<u8>) -> Vec<u8> {
    let size = ty.block_bytes();
    let mut w = bytes(n * size);
    let mut d_bytes = [0; 2];
    encode(F16, &[d], &mut d_bytes);
    for block in w.chunks_exact_mut(size) {
        for &at in f16_at(ty) {
            block[at..at + 2].copy_from_slice(&d_bytes);
        }
    }
    w
}

/// Calls `f` with the same bytes at an even and at an odd address.
fn at_any_address(bytes: &[u8], mut f: impl FnMut(&[u8])) {
    let mut buffer = vec![0; bytes.len() + 1];
    for offset in 0..2 {
        buffer[offset..offset + bytes.len()].copy_from_slice(bytes);
        f(&buffer[offset..offset + bytes.len()]);
    }
}

/// With one power of two for all scales nothing is rounded as long as the sums fit 24 bits: every set must give
/// exactly the sum. `limit` keeps them that small, the integers' offsets included.
#[test]
fn integer_sums_are_exact() {
    let mut random = Random(1);
    for ty in quantized() {
        let is_k = ty.block_len() == 256;
        let (limit, most) = if is_k { (7, 2) } else { (127, 23) };
        for n in (1..=most).chain(1..=most) {
            let w = blocks(ty, n, 0.25, |n| random.bytes(n));
            let mut q = || random.below(2 * limit + 1).wrapping_sub(limit) as i8;
            let qs = (0..n * ty.block_len()).map(|_| q()).collect();
            let x = Activations::new(qs, 0.125);
            let mut decoded = vec![f32::NAN; x.qs.len()];
            decode(ty, &w, &mut decoded);
            let (exact, _) = exact_dot(&decoded, &x.values());
            at_any_address(&w, |w| {
                for kernels in all() {
                    let name = kernels.name;
                    for dot in dots_q8(kernels, ty, w, x.row()) {
                        assert_eq!(f64::from(dot), exact, "{name}, {ty}, {n} blocks");
                    }
                }
            });
        }
    }
}

/// Nothing saturates or overflows: all bits set or none, activations all at one end or alternating. Equal terms are
/// rounded alike, so that f32 sums are off by up to 2e-6; a sum that saturates is by far more.
#[test]
fn extreme_blocks_do_not_saturate() {
    for ty in quantized() {
        for byte in [0x00, 0xff, 0x80, 0x7f, 0x0f, 0xf0] {
            for signs in [[127, 127], [-127, -127], [127, -127]] {
                let n = 9;
                let w = blocks(ty, n, -0.5, |n| vec![byte; n]);
                let x = Activations::new((0..n * ty.block_len()).map(|i| signs[i % 2]).collect(), 0.25);
                let mut decoded = vec![f32::NAN; x.qs.len()];
                decode(ty, &w, &mut decoded);
                let (exact, abs) = exact_dot(&decoded, &x.values());
                for kernels in all() {
                    for dot in dots_q8(kernels, ty, &w, x.row()) {
                        let error = (f64::from(dot) - exact).abs();
                        assert!(
                            error <= 4e-6 * abs,
                            "{}, {ty}, {byte:#x}: off by {error:e} of {abs:e}",
                            kernels.name
                        );
                    }
                }
            }
        }
    }
}

/// Encoded rows of any length: off by at most 2e-7 of Σ |w·x| (measured: 3.6e-8).
#[test]
fn quantized_dots_are_close_to_exact() {
    let mut random = Random(2);
    for ty in quantized() {
        let len = ty.block_len();
        for n in (1..=20).map(|n| n * len).chain([2048, 4608, 8192]) {
            let mut w = vec![0; ty.bytes_for(n).unwrap()];
            encode(ty, &random.floats(n), &mut w);
            let x = Activations::quantize(&random.floats(n));
            let mut decoded = vec![f32::NAN; n];
            decode(ty, &w, &mut decoded);
            let (exact, abs) = exact_dot(&decoded, &x.values());
            at_any_address(&w, |w| {
                for kernels in all() {
                    for dot in dots_q8(kernels, ty, w, x.row()) {
                        let error = (f64::from(dot) - exact).abs() / abs;
                        assert!(error <= 2e-7, "{}, {ty}, {n}: off by {error:e}", kernels.name);
                    }
                }
            });
        }
    }
}

#[test]
fn zero_and_empty_rows_give_zero() {
    for ty in quantized() {
        let w = vec![0; 3 * ty.block_bytes()];
        for kernels in all() {
            let x = Activations::new(vec![-127; 3 * ty.block_len()], 3.0);
            assert!(
                dots_q8(kernels, ty, &w, x.row()).iter().all(|&dot| dot == 0.0),
                "{}, {ty}",
                kernels.name
            );
            let empty = Q8Row { qs: &[], d: &[], sums: &[] };
            assert!(dots_q8(kernels, ty, &[], empty).iter().all(|&dot| dot == 0.0), "{}, {ty}", kernels.name);
        }
    }
}

/// Float rows of any length: off by at most 2e-7 of Σ |w·x| (measured: 7.5e-8).
#[test]
fn float_dots_are_close_to_exact() {
    let mut random = Random(3);
    for ty in [F32, F16, BF16] {
        for n in (0..=100).chain([127, 2048, 8191]) {
            let mut w = vec![0; ty.bytes_for(n).unwrap()];
            encode(ty, &random.floats(n), &mut w);
            let x = random.floats(n);
            let mut decoded = vec![f32::NAN; n];
            decode(ty, &w, &mut decoded);
            let (exact, abs) = exact_dot(&decoded, &x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
            at_any_address(&w, |w| {
                for kernels in all() {
                    for dot in dots_float(kernels, ty, w, &x) {
                        let error = (f64::from(dot) - exact).abs() / abs.max(f64::MIN_POSITIVE);
                        assert!(error <= 2e-7, "{}, {ty}, {n}: off by {error:e}", kernels.name);
                    }
                }
            });
        }
    }
}

/// All sets quantize alike, bit for bit.
#[test]
fn quantize_q8_equals_the_specification() {
    let mut random = Random(5);
    let mut x = random.floats(32 * 20);
    // Halfway cases: with 127 as the largest value the scale is 1.
    x.extend((0..32).map(|i| if i == 0 { -127.0 } else { i as f32 - 16.5 }));
    x.extend((0..32).map(|i| if i == 0 { 127.0 } else { (i as f32 - 16.5).next_down() }));
    x.extend((0..32).map(|i| if i == 0 { 127.0 } else { 0.5f32.next_down() }));
    x.extend([0.0; 32]);
    x.extend([-0.0; 32]);
    x.extend([1e-40; 32]);
    x.extend([1.5e-36; 32]);
    x.extend([f32::MAX; 32]);
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let at = x.len() + random.below(32) as usize;
        x.extend(random.floats(32));
        x[at] = bad;
    }
    let n = x.len();
    let run = |kernels: &Kernels| {
        let (mut qs, mut d, mut sums) = (vec![99; n], vec![-1.0; n / 32], vec![999; n / 16]);
        (kernels.quantize_q8)(&x, &mut qs, &mut d, &mut sums);
        (qs, d, sums)
    };
    let (qs, d, sums) = run(scalar());
    let bits = |d: &[f32]| d.iter().map(|d| d.to_bits()).collect::<Vec<_>>();
    for kernels in all() {
        let ours = run(kernels);
        assert_eq!(ours.0, qs, "{}", kernels.name);
        assert_eq!(bits(&ours.1), bits(&d), "{}", kernels.name);
        assert_eq!(ours.2, sums, "{}", kernels.name);
    }

    assert!(qs.iter().all(|&q| q >= -127));
    assert_eq!(qs[32 * 20..32 * 20 + 4], [-127, -16, -15, -14], "halves round away from zero");
    assert_eq!(qs[32 * 21..32 * 21 + 4], [127, -16, -15, -14]);
    assert_eq!(qs[32 * 22..32 * 22 + 2], [127, 0], "what is just below a half rounds down");
    assert_eq!(d[23..26], [0.0; 3], "zeros and what is almost zero");
    assert_eq!((d[27], qs[32 * 27]), (f32::MAX / 127.0, 127));
    assert!(
        d[28..].iter().all(|d| d.is_nan()) && qs[32 * 28..].iter().all(|&q| q == 0),
        "what is not finite"
    );
    for (i, (&x, &q)) in x.iter().zip(&qs).enumerate().take(32 * 20) {
        assert!((x - f32::from(q) * d[i / 32]).abs() <= 0.5001 * d[i / 32]);
    }
}

/// A block that is not finite shows in the result.
#[test]
fn nan_activations_give_nan() {
    let mut x = vec![0.5; 768];
    x[400] = f32::NAN;
    let x = Activations::quantize(&x);
    for ty in quantized() {
        let mut w = vec![0; ty.bytes_for(768).unwrap()];
        encode(ty, &[0.25; 768], &mut w);
        for kernels in all() {
            assert!(
                dots_q8(kernels, ty, &w, x.row()).iter().all(|dot| dot.is_nan()),
                "{}, {ty}",
                kernels.name
            );
        }
    }
}

fn assert_relative(ours: f32, exact: f64, bound: f64, what: &str) {
    let error = (f64::from(ours) - exact).abs();
    // The smallest subnormal may be off by itself.
    assert!(error <= bound * exact.abs() + 1.5e-45, "{what}: {ours:e}, exact {exact:e}");
}

#[test]
fn rms_norm_is_close_to_exact() {
    let mut random = Random(6);
    for n in (1..=40).chain([1024, 8192]) {
        let (x, w, eps) = (random.floats(n), random.floats(n), 1e-5f32);
        let mean = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n as f64;
        for kernels in all() {
            let mut out = vec![f32::NAN; n];
            (kernels.rms_norm)(&x, &w, eps, &mut out);
            for i in 0..n {
                let exact = f64::from(x[i]) * f64::from(w[i]) / (mean + f64::from(eps)).sqrt();
                // Three roundings.
                assert_relative(out[i], exact, 3.0 * 2f64.powi(-24), &format!("{}, {n}", kernels.name));
            }
        }
    }
    for kernels in all() {
        let mut out = [f32::NAN; 9];
        (kernels.rms_norm)(&[0.0; 9], &[1.0; 9], 1e-5, &mut out);
        assert_eq!(out, [0.0; 9]);
        (kernels.rms_norm)(&[1e30; 9], &[2.0; 9], 1e-5, &mut out);
        assert!(out.iter().all(|v| (v - 2.0).abs() < 1e-6), "squares beyond f32: {out:?}");
    }
}

/// Every step of 1/256 from -120 to 100, with what lies beyond the range of f32: within 3e-7 (measured: 1.9e-7).
#[test]
fn silu_mul_is_close_to_exact() {
    let gate: Vec<f32> = (-120 * 256..100 * 256).map(|i| i as f32 / 256.0).collect();
    let up: Vec<f32> = gate.iter().map(|g| 1.5 - g / 200.0).collect();
    for kernels in all() {
        let mut out = gate.clone();
        (kernels.silu_mul)(&mut out, &up);
        for i in 0..gate.len() {
            // Past e^88.7 the divisor overflows f32, and the quotient is 0 instead of some 1e-37.
            if gate[i] < -88.0 {
                assert!(out[i].abs() < 2e-36, "{}: silu({}) = {:e}", kernels.name, gate[i], out[i]);
                continue;
            }
            let g = f64::from(gate[i]);
            let exact = g / (1.0 + (-g).exp()) * f64::from(up[i]);
            assert_relative(out[i], exact, 3e-7, &format!("{}, silu({g})", kernels.name));
        }
    }
    let mut random = Random(7);
    for n in 0..40 {
        let (gate, up) = (random.floats(n), random.floats(n));
        for kernels in all() {
            let mut out = gate.clone();
            (kernels.silu_mul)(&mut out, &up);
            for i in 0..n {
                let g = f64::from(gate[i]);
                assert_relative(out[i], g / (1.0 + (-g).exp()) * f64::from(up[i]), 3e-7, kernels.name);
            }
        }
    }
}

#[test]
fn the_sets_are_listed_best_first() {
    let mut expected = vec![];
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        let avx512vnni = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        let avxvnni = is_x86_feature_detected!("avxvnni");
        let features = std::fs::read_to_string("/proc/cpuinfo");
        let amx = avx512vnni && features.is_ok_and(|features| features.contains(" amx_int8"));
        let sets = [("amx", amx), ("avx512vnni", avx512vnni), ("avxvnni", avxvnni), ("avx2", true)];
        expected.extend(sets.into_iter().filter(|&(_, there)| avx2 && there).map(|(name, _)| name));
    }
    #[cfg(target_arch = "aarch64")]
    {
        let dotprod = std::arch::is_aarch64_feature_detected!("dotprod");
        let i8mm = dotprod && std::arch::is_aarch64_feature_detected!("i8mm");
        let sets = [("i8mm", i8mm), ("dotprod", dotprod), ("neon", true)];
        expected.extend(sets.into_iter().filter(|&(_, there)| there).map(|(name, _)| name));
    }
    expected.extend(["portable", "scalar"]);
    println!("kernel sets: {}", expected.join(", "));
    assert_eq!(all().iter().map(|k| k.name).collect::<Vec<_>>(), expected);
}
