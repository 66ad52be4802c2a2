//! What the encoders look for: the scales of least squared error.
//!
//! A group is fitted by itself first: integers from a trial scale, the best scale for those integers by least
//! squares, once more with that, and the best of several trials. Then the scales of a block's groups are themselves
//! rounded to a few bits, and what counts is the error after that: so every group tries the neighbours of its
//! rounded scale, and the block fits its super-scale to the integers chosen, as long as that helps.
//!
//! The inner loops are over the trials of one element, or the groups of a block, side by side: they vectorize, and no sum is
//! across lanes. All but the innermost ([`sums`], a function an instruction set) is inlined into the encoders, of which those
//! without weights are compiled for wider vectors too ([`super::block`]).
//!
//! Where elements have weights, an error counts its weight times, and the search is the wider: the largest value may well
//! be one that hardly counts. Functions with `WEIGHTED` false never look at the weights.

use half::f16;
use std::cmp::Ordering;

/// The largest magnitude that the encoders with a search take in; f16 scales cannot hold much more.
const LARGEST: f32 = 524_288.0;

/// What is smaller than this counts as zero: f16 scales are far from holding it.
pub(super) const SMALLEST: f32 = 1e-15;

/// Trials of one group.
pub(super) const TRIALS: usize = 16;

/// Rounds of fitting a block's super-scales to its integers.
const ROUNDS: usize = 3;
/// The same with weights.
const WEIGHTED_ROUNDS: usize = 6;

/// With weights, the trials of one group are made so many times larger, one after the other.
pub(super) const STRETCHES: [f32; 4] = [1.0, 0.9, 1.15, 1.35];
/// With weights, the trials of one group are fitted so often.
pub(super) const FITS: usize = 3;

/// For a search without weights.
pub(super) static NO_WEIGHTS: [f32; 256] = [1.0; 256];

/// An element counts at least this much of what the elements of its block do on average.
const LEAST_WEIGHT: f32 = 1e-4;

/// One value a trial.
type Lanes<const C: usize> = [f32; C];

/// `f` of each index: `std::array::from_fn`, but sure to be compiled for the caller's instructions.
#[inline(always)]
fn each<T: Copy + Default, const C: usize>(f: impl Fn(usize) -> T) -> [T; C] {
    let mut out = [T::default(); C];
    for (i, out) in out.iter_mut().enumerate() {
        *out = f(i);
    }
    out
}

/// `f` of each: `array::map`, but as [`each`].
#[inline(always)]
pub(super) fn map<T: Copy, U: Copy + Default, const C: usize>(of: &[T; C], f: impl Fn(T) -> U) -> [U; C] {
    each(|i| f(of[i]))
}

/// The value of largest magnitude, the first of equals; NaN never is it.
#[inline(always)]
pub(super) fn largest(x: &[f32]) -> f32 {
    const MAGNITUDE: u32 = u32::MAX >> 1;
    // As integers, floats of a sign order as their magnitudes do: signed, the positive are the largest, and the other way
    // round without. A fold over floats would wait for each comparison.
    let (mut positive, mut negative) = (0, 0);
    for v in x {
        let bits = v.to_bits();
        let bits = if bits & MAGNITUDE > f32::INFINITY.to_bits() { 0 } else { bits };
        positive = (bits as i32).max(positive);
        negative = bits.max(negative);
    }
    let positive = positive as u32;
    let of_negative = if negative > MAGNITUDE { negative & MAGNITUDE } else { 0 };
    match positive.cmp(&of_negative) {
        Ordering::Greater => f32::from_bits(positive),
        Ordering::Less => f32::from_bits(negative),
        Ordering::Equal => {
            x.iter().copied().find(|v| *v != 0.0 && v.abs().to_bits() == positive).unwrap_or(0.0)
        }
    }
}

/// The smallest and the largest value, not counting NaN.
#[inline(always)]
pub(super) fn range<const N: usize>(x: &[f32; N]) -> (f32, f32) {
    const { assert!(N.is_multiple_of(8)) };
    let (mut min, mut max) = ([f32::INFINITY; 8], [f32::NEG_INFINITY; 8]);
    for x in x.as_chunks::<8>().0 {
        for i in 0..8 {
            min[i] = if x[i] < min[i] { x[i] } else { min[i] };
            max[i] = if x[i] > max[i] { x[i] } else { max[i] };
        }
    }
    (reduce(&min, |a, b| if b < a { b } else { a }), reduce(&max, |a, b| if b > a { b } else { a }))
}

/// All of them, sixteen at most, joined by `f`, halves with halves, so that few wait for each other. To join one with itself
/// must give it.
#[inline(always)]
fn reduce<const C: usize>(of: &Lanes<C>, f: impl Fn(f32, f32) -> f32) -> f32 {
    const { assert!(C.is_power_of_two() && C <= 16) };
    // A loop over the sizes would keep them in memory.
    let eight: Lanes<8> = each(|i| f(of[i % C], of[(i + 8) % C]));
    let four: Lanes<4> = each(|i| f(eight[i], eight[i + 4]));
    let two: Lanes<2> = each(|i| f(four[i], four[i + 2]));
    f(two[0], two[1])
}

/// `x` with what is not finite or too large replaced: NaN by 0, the rest by ±[`LARGEST`].
#[inline(always)]
pub(super) fn tame<const N: usize>(x: &[f32; N]) -> [f32; N] {
    // Comparisons that NaN fails; calls of `clamp` would keep the loop from vectorizing.
    map(x, |v| {
        let v = if v > LARGEST { LARGEST } else { v };
        let v = if v < -LARGEST { -LARGEST } else { v };
        if v.is_nan() { 0.0 } else { v }
    })
}

/// `w` made fit to search with: 1 on average, and no element without any weight. Only their ratios count; what is not
/// finite or negative is none, and where there are none all elements count alike.
pub(super) fn tame_weights<const N: usize>(w: &[f32; N]) -> [f32; N] {
    let w = w.map(|w| if w > 0.0 && w < f32::INFINITY { w } else { 0.0 });
    let largest = w.iter().fold(0.0, |max: f32, w| max.max(*w));
    // Divided first: a sum might overflow.
    let w = w.map(|w| w / largest);
    let mean = w.iter().sum::<f32>() / N as f32;
    if largest == 0.0 { [1.0; N] } else { w.map(|w| (w / mean).max(LEAST_WEIGHT)) }
}

/// The integer in `lo..=hi` nearest to `v`.
#[inline(always)]
pub(super) fn nearest(v: f32, lo: f32, hi: f32) -> f32 {
    // 1.5 · 2²³: adding it leaves no fraction bits. Calls of `round` and `clamp` would keep the loops from
    // vectorizing.
    const NO_FRACTION: f32 = 12_582_912.0;
    let v = if v < lo { lo } else { v };
    let v = if v > hi { hi } else { v };
    (v + NO_FRACTION) - NO_FRACTION
}

/// `v` without its fraction, in `0..=most`, which is a byte; 0 for NaN. A cast of the float, which may be anything, would keep
/// loops from vectorizing.
#[inline(always)]
pub(super) fn truncate(v: f32, most: f32) -> u8 {
    let v = if v > 0.0 { v } else { 0.0 };
    let v = if v < most { v } else { most };
    // SAFETY: it is within 0 to 255.
    unsafe { v.to_int_unchecked::<i32>() as u8 }
}

/// The reciprocal, or 0 where there is none: a scale of 0 makes every integer 0.
#[inline(always)]
pub(super) fn invert(scale: f32) -> f32 {
    if scale.abs() < SMALLEST { 0.0 } else { 1.0 / scale }
}

/// `v` as the f16 of a block will give it back, but not 0 where it is tiny: smaller group scales make up for it.
fn to_f16(v: f32) -> f32 {
    let rounded = f16::from_f32_const(v).to_f32_const();
    if rounded == 0.0 && v.abs() > SMALLEST {
        return f16::MIN_POSITIVE_SUBNORMAL.to_f32_const().copysign(v);
    }
    rounded
}

/// Groups of elements `scale · q`, `q` and the group scales being integers.
pub(super) struct Symmetric {
    /// The range of `q`.
    pub q: (f32, f32),
    /// The range of the group scales.
    pub scale: (f32, f32),
    /// The `q`, unrounded, that the trials give to the value of largest magnitude.
    pub trials: Lanes<TRIALS>,
}

/// The result for a block of `GROUPS` groups.
pub(super) struct SymmetricFit<const GROUPS: usize> {
    pub d: f32,
    pub scales: [i8; GROUPS],
    pub q: [i8; 256],
}

impl Symmetric {
    /// Encodes a block of `GROUPS` groups of `N`; `w` are the weights.
    #[inline(always)]
    pub fn fit<const GROUPS: usize, const N: usize, const WEIGHTED: bool>(
        &self,
        x: &[f32; 256],
        w: &[f32; 256],
    ) -> SymmetricFit<GROUPS> {
        let (x, w) = (x.as_chunks::<N>().0, w.as_chunks::<N>().0);
        let (lo, hi) = self.scale;
        let columns = turned(x);
        let w_columns = if WEIGHTED { turned(w) } else { columns };
        let free: Lanes<GROUPS> =
            if WEIGHTED { each(|g| self.free(&x[g], &w[g])) } else { self.free_of_all(x, &columns) };
        // The scale of largest magnitude goes to the end of the range that is further from zero.
        let mut d = to_f16(largest(&free) / lo);
        let mut best = (f32::INFINITY, d, [0.0; GROUPS]);
        for _ in 0..if WEIGHTED { WEIGHTED_ROUNDS } else { ROUNDS } {
            let id = invert(d);
            let near: Lanes<GROUPS> = each(|g| nearest(free[g] * id, lo, hi));
            let around = |step: f32| map(&near, |near| nearest(near + step, lo, hi));
            let mut gains = [f32::NEG_INFINITY; GROUPS];
            let (mut scales, mut sums) = (near, Products { xq: [0.0; GROUPS], qq: [0.0; GROUPS] });
            for tries in [near, around(-1.0), around(1.0), [0.0; GROUPS]] {
                let found = self.products::<GROUPS, N, WEIGHTED>(
                    &columns,
                    &w_columns,
                    &map(&tries, |s| invert(d * s)),
                );
                for g in 0..GROUPS {
                    let scale = d * tries[g];
                    let gain = scale * (2.0 * found.xq[g] - scale * found.qq[g]);
                    let better = gain > gains[g];
                    gains[g] = if better { gain } else { gains[g] };
                    scales[g] = if better { tries[g] } else { scales[g] };
                    sums.xq[g] = if better { found.xq[g] } else { sums.xq[g] };
                    sums.qq[g] = if better { found.qq[g] } else { sums.qq[g] };
                }
            }
            // The squared error, and the sums that the least squares for d need.
            let (mut total, mut xq, mut qq) = (0.0, 0.0, 0.0);
            for g in 0..GROUPS {
                total -= gains[g];
                xq += scales[g] * sums.xq[g];
                qq += scales[g] * scales[g] * sums.qq[g];
            }
            if total >= best.0 {
                break;
            }
            best = (total, d, scales);
            d = to_f16(xq * invert(qq));
            // A round more would be this one again.
            if d == best.1 {
                break;
            }
        }
        let (_, d, scales) = best;
        let mut q = [0; 256];
        for (g, q) in q.as_chunks_mut::<N>().0.iter_mut().enumerate() {
            let id = invert(d * scales[g]);
            *q = map(&x[g], |v| nearest(v * id, self.q.0, self.q.1) as i8);
        }
        SymmetricFit { d, scales: scales.map(|s| s as i8), q }
    }

    /// The best scales of all groups, were they free and without weights; of the groups are the columns too.
    #[inline(always)]
    fn free_of_all<const GROUPS: usize, const N: usize>(
        &self,
        x: &[[f32; N]],
        columns: &[Lanes<GROUPS>; N],
    ) -> Lanes<GROUPS> {
        let max: Lanes<GROUPS> = each(|g| largest(&x[g]));
        let (mut gains, mut best) = ([f32::NEG_INFINITY; GROUPS], [0.0; GROUPS]);
        for trial in self.trials {
            let first = self.products::<GROUPS, N, false>(columns, columns, &map(&max, |max| trial / max));
            let found = self.products::<GROUPS, N, false>(columns, columns, &first.inverse_scales());
            for g in 0..GROUPS {
                let inverse = invert(found.qq[g]);
                let gain = found.xq[g] * found.xq[g] * inverse;
                let better = gain > gains[g];
                gains[g] = if better { gain } else { gains[g] };
                best[g] = if better { found.xq[g] * inverse } else { best[g] };
            }
        }
        each(|g| if max[g].abs() < SMALLEST { 0.0 } else { best[g] })
    }

    /// The best scale of a group with weights, were it free.
    #[inline(always)]
    pub fn free<const N: usize>(&self, x: &[f32; N], w: &[f32; N]) -> f32 {
        let max = largest(x);
        if max.abs() < SMALLEST {
            return 0.0;
        }
        let products = |id: &Lanes<TRIALS>| {
            let [_, xq, qq] = sums::<true>(x, w, id, &[0.0; TRIALS], self.q);
            Products { xq, qq }
        };
        let mut best = (f32::NEG_INFINITY, 0.0);
        // The other sign gives the other end of the range to the largest value.
        for stretch in STRETCHES.into_iter().flat_map(|s| [s, -s * self.q.1 / -self.q.0]) {
            let mut fit = products(&each(|i| self.trials[i] * stretch / max));
            for _ in 1..FITS {
                fit = products(&fit.inverse_scales());
            }
            let found = fit.best();
            if found.0 > best.0 {
                best = found;
            }
        }
        best.1
    }

    /// The sums of every group for `q` from the reciprocals of their scales, all groups side by side.
    #[inline(always)]
    fn products<const GROUPS: usize, const N: usize, const WEIGHTED: bool>(
        &self,
        x: &[Lanes<GROUPS>; N],
        w: &[Lanes<GROUPS>; N],
        id: &Lanes<GROUPS>,
    ) -> Products<GROUPS> {
        let (lo, hi) = self.q;
        let mut sums = Products { xq: [0.0; GROUPS], qq: [0.0; GROUPS] };
        for (x, w) in x.iter().zip(w) {
            for g in 0..GROUPS {
                let q = nearest(x[g] * id[g], lo, hi);
                let wq = if WEIGHTED { w[g] * q } else { q };
                sums.xq[g] += x[g] * wq;
                sums.qq[g] += q * wq;
            }
        }
        sums
    }
}

/// The elements of groups by their place in their group.
#[inline(always)]
fn turned<const GROUPS: usize, const N: usize>(groups: &[[f32; N]]) -> [Lanes<GROUPS>; N] {
    let mut columns = [[0.0; GROUPS]; N];
    for (g, group) in groups.iter().enumerate() {
        for (column, v) in columns.iter_mut().zip(group) {
            column[g] = *v;
        }
    }
    columns
}

/// For each trial Σwq, Σwxq and Σwq² of `q = nearest((x + min) · id)`.
fn sums<const WEIGHTED: bool>(
    x: &[f32],
    w: &[f32],
    id: &Lanes<TRIALS>,
    min: &Lanes<TRIALS>,
    range: (f32, f32),
) -> [Lanes<TRIALS>; 3] {
    let mut sums = [[0.0; TRIALS]; 3];
    // SAFETY: the processor has what the function needs.
    unsafe {
        functions::<WEIGHTED>().next().unwrap_or(portable_sums::<WEIGHTED>)(x, w, id, min, range, &mut sums)
    };
    sums
}

type Function =
    unsafe fn(&[f32], &[f32], &Lanes<TRIALS>, &Lanes<TRIALS>, (f32, f32), &mut [Lanes<TRIALS>; 3]);

/// Those of [`sums`] that are faster than [`portable_sums`] and that the processor has the instructions for, best first.
#[inline(always)]
fn functions<const WEIGHTED: bool>() -> impl Iterator<Item = Function> {
    #[cfg(target_arch = "x86_64")]
    let functions: [(bool, Function); _] = [
        (is_x86_feature_detected!("avx512f"), crate::x86::search::sums_512::<WEIGHTED>),
        (is_x86_feature_detected!("avx2"), crate::x86::search::sums::<WEIGHTED>),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let functions: [(bool, Function); 0] = [];
    functions.into_iter().filter_map(|(there, function)| there.then_some(function))
}

/// As [`sums`], added to `sums`.
fn portable_sums<const WEIGHTED: bool>(
    x: &[f32],
    w: &[f32],
    id: &Lanes<TRIALS>,
    min: &Lanes<TRIALS>,
    range: (f32, f32),
    sums: &mut [Lanes<TRIALS>; 3],
) {
    for (v, w) in x.iter().zip(w) {
        for i in 0..TRIALS {
            let q = nearest((v + min[i]) * id[i], range.0, range.1);
            let wq = if WEIGHTED { w * q } else { q };
            sums[0][i] += wq;
            sums[1][i] += v * wq;
            sums[2][i] += q * wq;
        }
    }
}

/// The sums that `scale · q` is fitted to `x` with, a trial.
pub(super) struct Products<const C: usize> {
    /// Σwxq.
    pub xq: Lanes<C>,
    /// Σwq².
    pub qq: Lanes<C>,
}

impl<const C: usize> Products<C> {
    /// The reciprocals of every trial's best scale.
    #[inline(always)]
    pub fn inverse_scales(&self) -> Lanes<C> {
        each(|i| self.qq[i] * invert(self.xq[i]))
    }

    /// The scale of the trial whose best scale leaves the least squared error, after that by which it brings the error below
    /// Σwx².
    #[inline(always)]
    pub fn best(&self) -> (f32, f32) {
        let gains: Lanes<C> = each(|i| self.xq[i] * self.xq[i] * invert(self.qq[i]));
        let i = argmax(&gains);
        (gains[i], self.xq[i] * invert(self.qq[i]))
    }
}

/// Groups of elements `scale · q − min`, `q`, the group scales and the group minima being unsigned integers.
pub(super) struct Affine {
    /// The largest `q`.
    pub q: f32,
    /// The largest group scale and group minimum.
    pub scale: f32,
    /// The least `min`: 0, or −∞.
    pub min: f32,
    /// The `q`, unrounded, that the trials give to the largest value when the smallest has 0.
    pub trials: Lanes<TRIALS>,
}

/// Neighbours that are tried, of the scale and of the minimum.
const NEAR: [(f32, f32); TRIALS] = [
    (0.0, 0.0),
    (0.0, -1.0),
    (0.0, 1.0),
    (-1.0, 0.0),
    (-1.0, -1.0),
    (-1.0, 1.0),
    (1.0, 0.0),
    (1.0, -1.0),
    (1.0, 1.0),
    (1.0, 2.0),
    (-1.0, -2.0),
    (0.0, 2.0),
    (0.0, -2.0),
    (1.0, 3.0),
    (-1.0, -3.0),
    (2.0, 3.0),
];

/// The result for a block of `GROUPS` groups.
pub(super) struct AffineFit<const GROUPS: usize> {
    pub d: f32,
    pub dmin: f32,
    pub scales: [u8; GROUPS],
    pub mins: [u8; GROUPS],
    pub q: [i8; 256],
}

impl Affine {
    /// Encodes a block of `GROUPS` groups of `N`; `w` are the weights.
    #[inline(always)]
    pub fn fit<const GROUPS: usize, const N: usize, const WEIGHTED: bool>(
        &self,
        x: &[f32; 256],
        w: &[f32; 256],
    ) -> AffineFit<GROUPS> {
        let (x, w) = (x.as_chunks::<N>().0, w.as_chunks::<N>().0);
        let (mut free, mut of_groups) = ([(0.0, 0.0); GROUPS], [(0.0, 0.0); GROUPS]);
        // All of them first: each is a long chain, and these need not wait for each other.
        for g in 0..GROUPS {
            of_groups[g] = totals::<WEIGHTED>(&x[g], &w[g]);
        }
        if WEIGHTED {
            for g in 0..GROUPS {
                free[g] = self.free(&x[g], &w[g], of_groups[g]);
            }
        } else {
            for (g, free) in free.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                let g = 2 * g;
                *free = self.free_of_two([&x[g], &x[g + 1]], [of_groups[g], of_groups[g + 1]]);
            }
        }
        let max = free.iter().fold((0.0f32, 0.0f32), |max, f| (max.0.max(f.0), max.1.max(f.1)));
        let (mut d, mut dmin) = (to_f16(max.0 / self.scale), to_f16(max.1 / self.scale));
        let mut best = (f32::INFINITY, d, dmin, [0.0; GROUPS], [0.0; GROUPS]);
        for _ in 0..if WEIGHTED { WEIGHTED_ROUNDS } else { ROUNDS } {
            let (id, idmin) = (invert(d), invert(dmin));
            let (mut scales, mut mins) = ([0.0; GROUPS], [0.0; GROUPS]);
            let mut total = 0.0;
            // x ≈ d · sq − dmin · m: the sums of the normal equations.
            let (mut sq_sq, mut sq_m, mut m_m, mut x_sq, mut x_m) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for g in 0..GROUPS {
                let near = |v: f32| nearest(v, 0.0, self.scale);
                let (s, m) = (near(free[g].0 * id), near(free[g].1 * idmin));
                let s: Lanes<TRIALS> = each(|i| near(s + NEAR[i].0));
                let m: Lanes<TRIALS> = each(|i| near(m + NEAR[i].1));
                let (id, min) = (map(&s, |s| invert(d * s)), map(&m, |m| dmin * m));
                let sums = self.sums::<N, WEIGHTED>(&x[g], &w[g], of_groups[g], &id, &min);
                let gains: Lanes<TRIALS> = each(|i| sums.gain(i, d * s[i], dmin * m[i]));
                let i = argmax(&gains);
                let (s, m) = (s[i], m[i]);
                (scales[g], mins[g]) = (s, m);
                total -= gains[i];
                sq_sq += s * s * sums.qq[i];
                sq_m += s * m * sums.q[i];
                m_m += m * m * sums.w;
                x_sq += s * sums.xq[i];
                x_m += m * sums.x;
            }
            if total >= best.0 {
                break;
            }
            best = (total, d, dmin, scales, mins);
            let det = sq_sq * m_m - sq_m * sq_m;
            if det > 0.0 {
                d = to_f16((x_sq * m_m - x_m * sq_m) / det);
                dmin = to_f16(((x_sq * sq_m - x_m * sq_sq) / det).max(0.0));
            }
            // A round more would be this one again.
            if (d, dmin) == (best.1, best.2) {
                break;
            }
        }
        let (_, d, dmin, scales, mins) = best;
        let mut q = [0; 256];
        for (g, q) in q.as_chunks_mut::<N>().0.iter_mut().enumerate() {
            let (id, min) = (invert(d * scales[g]), dmin * mins[g]);
            *q = map(&x[g], |v| nearest((v + min) * id, 0.0, self.q) as i8);
        }
        AffineFit { d, dmin, scales: scales.map(|s| s as u8), mins: mins.map(|m| m as u8), q }
    }

    /// The best scales and minima of two groups without weights, were they free; of the groups are the [`totals`]. A step for
    /// both, then the next: each waits for its own sums, but not for the other's.
    #[inline(always)]
    fn free_of_two<const N: usize>(&self, x: [&[f32; N]; 2], totals: [(f32, f32); 2]) -> [(f32, f32); 2] {
        let ranges = [range(x[0]), range(x[1])];
        let lo: Lanes<2> = each(|g| ranges[g].0.min(-self.min));
        let span: Lanes<2> = each(|g| ranges[g].1 - lo[g]);
        // Each by itself, since an array of them would be copied.
        let a = self.first(x[0], totals[0], lo[0], span[0]);
        let b = self.first(x[1], totals[1], lo[1], span[1]);
        let a = self.refined::<N, false>(x[0], x[0], totals[0], &a);
        let b = self.refined::<N, false>(x[1], x[1], totals[1], &b);
        let best = [a.best(self.min).1, b.best(self.min).1];
        each(|g| if span[g] < SMALLEST { (0.0, -lo[g]) } else { best[g] })
    }

    /// The sums of a group without weights with the trials, the smallest value having 0.
    #[inline(always)]
    fn first<const N: usize>(&self, x: &[f32; N], totals: (f32, f32), lo: f32, span: f32) -> Sums {
        self.sums::<N, false>(x, x, totals, &map(&self.trials, |trial| trial / span), &[-lo; TRIALS])
    }

    /// The best scale and minimum of a group with weights, were they free; of the group are the [`totals`].
    #[inline(always)]
    pub fn free<const N: usize>(&self, x: &[f32; N], w: &[f32; N], totals: (f32, f32)) -> (f32, f32) {
        let (lo, hi) = range(x);
        let lo = lo.min(-self.min);
        if hi - lo < SMALLEST {
            return (0.0, -lo);
        }
        let mut best = (f32::NEG_INFINITY, (0.0, 0.0));
        for stretch in STRETCHES {
            // What the range loses where the trials stretch, it loses at either end or at both.
            for end in if stretch == 1.0 { &[0.0][..] } else { &[0.0, 0.5, 1.0] } {
                let from = lo + end * (1.0 - 1.0 / stretch) * (hi - lo);
                let id = each(|i| self.trials[i] * stretch / (hi - lo));
                let mut fit = self.sums::<N, true>(x, w, totals, &id, &[(-from).max(self.min); TRIALS]);
                for _ in 1..FITS {
                    fit = self.refined::<N, true>(x, w, totals, &fit);
                }
                let found = fit.best(self.min);
                if found.0 > best.0 {
                    best = found;
                }
            }
        }
        best.1
    }

    /// The sums for `q` from every trial's best scale and minimum. No closure, which would be compiled for itself.
    #[inline(always)]
    fn refined<const N: usize, const WEIGHTED: bool>(
        &self,
        x: &[f32; N],
        w: &[f32; N],
        totals: (f32, f32),
        fit: &Sums,
    ) -> Sums {
        let [scale, min] = fit.fits(self.min);
        self.sums::<N, WEIGHTED>(x, w, totals, &map(&scale, invert), &min)
    }

    /// The sums for `q` from the reciprocals of trial scales and from trial minima.
    #[inline(always)]
    fn sums<const N: usize, const WEIGHTED: bool>(
        &self,
        x: &[f32; N],
        w: &[f32; N],
        (w_sum, x_sum): (f32, f32),
        id: &Lanes<TRIALS>,
        min: &Lanes<TRIALS>,
    ) -> Sums {
        let [q, xq, qq] = sums::<WEIGHTED>(x, w, id, min, (0.0, self.q));
        Sums { w: w_sum, x: x_sum, q, xq, qq }
    }
}

/// Σw and Σwx.
#[inline(always)]
pub(super) fn totals<const WEIGHTED: bool>(x: &[f32], w: &[f32]) -> (f32, f32) {
    if !WEIGHTED {
        return (x.len() as f32, x.iter().sum());
    }
    (w.iter().sum(), x.iter().zip(w).map(|(x, w)| x * w).sum())
}

/// The sums that `scale · q − min` is fitted to `x` with, a trial.
struct Sums {
    /// Σw.
    w: f32,
    /// Σwx.
    x: f32,
    /// Σwq, Σwxq, Σwq².
    q: Lanes<TRIALS>,
    xq: Lanes<TRIALS>,
    qq: Lanes<TRIALS>,
}

impl Sums {
    /// The best scale and minimum, `least` at least, for the `q` of each trial.
    #[inline(always)]
    fn fits(&self, least: f32) -> [Lanes<TRIALS>; 2] {
        let (w, x) = (self.w, self.x);
        let [mut scale, mut min] = [[0.0; TRIALS]; 2];
        for (i, (scale, min)) in scale.iter_mut().zip(&mut min).enumerate() {
            let (q, xq, qq) = (self.q[i], self.xq[i], self.qq[i]);
            let det = w * qq - q * q;
            let both = ((w * xq - x * q) / det, (q * xq - x * qq) / det);
            // No branches, which would keep the loop from vectorizing.
            let possible = (det > 0.0) & (both.1 >= least);
            (*scale, *min) = if possible { both } else { (xq * invert(qq), 0.0) };
        }
        [scale, min]
    }

    /// The best scale and minimum of all trials, after that by which they bring the squared error below Σwx².
    #[inline(always)]
    fn best(&self, least: f32) -> (f32, (f32, f32)) {
        let [scale, min] = self.fits(least);
        let gains: Lanes<TRIALS> = each(|i| self.gain(i, scale[i], min[i]));
        let i = argmax(&gains);
        (gains[i], (scale[i], min[i]))
    }

    /// By how much `scale` and `min` bring the squared error of a trial below Σwx².
    #[inline(always)]
    fn gain(&self, i: usize, scale: f32, min: f32) -> f32 {
        let (q, xq, qq) = (self.q[i], self.xq[i], self.qq[i]);
        scale * (2.0 * xq - scale * qq) - min * (2.0 * self.x + min * self.w - 2.0 * scale * q)
    }
}

/// The place of the largest value, the first of equals.
#[inline(always)]
fn argmax<const C: usize>(v: &Lanes<C>) -> usize {
    // No branches: which it is cannot be foreseen.
    let largest = reduce(v, |a, b| if b > a { b } else { a });
    let places = (0..C).fold(0u32, |places, i| places | u32::from(v[i] == largest) << i);
    // None where all are NaN.
    if places == 0 { 0 } else { places.trailing_zeros() as usize }
}

/// `TRIALS` values from `from` on, `step` apart.
pub(super) const fn steps(from: f32, step: f32) -> Lanes<TRIALS> {
    let mut v = [0.0; TRIALS];
    let mut i = 0;
    while i < TRIALS {
        v[i] = from + step * i as f32;
        i += 1;
    }
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few different values, so that there are equals of either sign, zeros and NaN among them.
    #[test]
    fn extremes_are_those_of_a_search_one_by_one() {
        const VALUES: [f32; 8] = [1.0, -1.0, 0.0, -0.0, 2.5, -2.5, f32::INFINITY, f32::NAN];
        for kinds in 1..=VALUES.len() {
            for seed in 0..200u32 {
                let x: [f32; 16] = each(|i| {
                    let hash = (seed * 16 + i as u32).wrapping_mul(2654435761) >> 16;
                    VALUES[(hash as usize) % kinds]
                });
                let of = x.iter().filter(|v| !v.is_nan());
                let plain = of.clone().fold(0.0f32, |max, v| if v.abs() > max.abs() { *v } else { max });
                assert_eq!(largest(&x), plain, "{x:?}");
                let plain =
                    of.fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), v| (v.min(min), v.max(max)));
                assert_eq!(range(&x), plain, "{x:?}");
                let finite = x.map(|v| if v.is_finite() { v } else { 0.5 });
                let plain = (1..16).fold(0, |best, i| if finite[i] > finite[best] { i } else { best });
                assert_eq!(argmax(&finite), plain, "{finite:?}");
            }
        }
    }

    #[test]
    fn truncated_numbers_are_those_of_a_cast() {
        for most in [15u8, 31] {
            for v in [
                -1e30,
                -1.0,
                -0.5,
                0.0,
                0.99,
                1.0,
                14.99,
                15.0,
                15.5,
                31.0,
                32.0,
                1e30,
                f32::NAN,
                f32::INFINITY,
            ] {
                assert_eq!(truncate(v, most.into()), (v as u8).min(most), "{v} of {most}");
            }
        }
    }

    /// Halves that round to even, both ends of the range, zeros and what is not finite included.
    #[test]
    fn every_processor_finds_the_same_sums() {
        let number = |i: u32| (i.wrapping_mul(2654435761) >> 8) as f32 / 8388608.0 - 1.0;
        let id: Lanes<TRIALS> = std::array::from_fn(|i| 8.0 * number(i as u32 + 1000));
        for (range, offset) in [((-8.0, 7.0), 0.0), ((0.0, 15.0), 0.7), ((-128.0, 127.0), 0.0)] {
            let min = [offset; TRIALS];
            let mut x: Vec<f32> = (0..256).map(|i| 3.0 * number(i)).collect();
            x.extend([0.0, -0.0, 0.5, -0.5, 1.5, 1e30, -1e30]);
            for extra in [None, Some(f32::NAN), Some(f32::INFINITY)] {
                x.extend(extra);
                let w: Vec<f32> = (0..x.len() as u32).map(|i| number(i + 5000) + 1.0).collect();
                let bits = |sums: [Lanes<TRIALS>; 3]| {
                    sums.map(|s| s.map(|v| (v.is_nan(), v.to_bits() * u32::from(!v.is_nan()))))
                };
                let [mut plain, mut weighted] = [[[0.0; TRIALS]; 3]; 2];
                portable_sums::<false>(&x, &w, &id, &min, range, &mut plain);
                portable_sums::<true>(&x, &w, &id, &min, range, &mut weighted);
                let cases = [
                    (functions::<false>().collect::<Vec<_>>(), plain),
                    (functions::<true>().collect(), weighted),
                ];
                for (functions, expected) in cases {
                    for function in functions {
                        let mut sums = [[f32::NAN; TRIALS]; 3];
                        // SAFETY: the processor has what the function needs.
                        unsafe { function(&x, &w, &id, &min, range, &mut sums) };
                        assert_eq!(bits(sums), bits(expected), "{range:?}, {extra:?}");
                    }
                }
            }
        }
    }
}
