//! What the encoders look for: the scales of least squared error.
//!
//! A group is fitted by itself first: integers from a trial scale, the best scale for those integers by least
//! squares, once more with that, and the best of several trials; without weights [`Symmetric`] fits the best trial
//! alone once more. Then the scales of a block's groups are themselves rounded to a few bits, and what counts is the
//! error after that: so every group tries the neighbours of its rounded scale, and the block fits its super-scale to
//! the integers chosen, as long as that helps.
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

/// Trials side by side: of one group with weights, of two by turns without.
pub(super) const TRIALS: usize = 16;
/// Groups without weights whose trials lie by turns.
const TURNS: usize = 2;
/// Trials of a group of [`Symmetric`] without weights are so many times as far apart.
const STRIDE: usize = 3;

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
    let ([min], [max]) = ranges(x);
    (min, max)
}

/// As [`range`], of every `T`th value from the first, the second and so on.
#[inline(always)]
fn ranges<const T: usize>(x: &[f32]) -> ([f32; T], [f32; T]) {
    let (mut min, mut max) = ([f32::INFINITY; 8], [f32::NEG_INFINITY; 8]);
    for x in x.as_chunks::<8>().0 {
        for i in 0..8 {
            min[i] = if x[i] < min[i] { x[i] } else { min[i] };
            max[i] = if x[i] > max[i] { x[i] } else { max[i] };
        }
    }
    (reduce(&min, |a, b| if b < a { b } else { a }), reduce(&max, |a, b| if b > a { b } else { a }))
}

/// [`ranges`] of two groups by turns. For itself: in a loop over all groups the compiler gathers an element of each.
#[inline(never)]
fn ranges_by_turns(x: &[f32]) -> ([f32; TURNS], [f32; TURNS]) {
    ranges(x)
}

/// Every `T`th joined by `f`, from the first, the second and so on: of `C` values, sixteen at most, `T`. Halves are joined with
/// halves, so that few wait for each other. To join one with itself must give it.
#[inline(always)]
fn reduce<V: Copy + Default, const C: usize, const T: usize>(of: &[V; C], f: impl Fn(V, V) -> V) -> [V; T] {
    const { assert!(C.is_power_of_two() && C <= 16 && T.is_power_of_two() && T <= 2) };
    // A loop over the sizes would keep them in memory.
    let eight: [V; 8] = each(|i| f(of[i % C], of[(i + 8) % C]));
    let four: [V; 4] = each(|i| f(eight[i], eight[i + 4]));
    let two: [V; 2] = each(|i| f(four[i], four[i + 2]));
    if T == 2 { each(|t| two[t]) } else { [f(two[0], two[1]); T] }
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

/// 1.5 · 2²³: adding it leaves no fraction bits, and the integer in the lowest bits. Calls of `round` and casts would keep loops
/// from vectorizing.
const NO_FRACTION: f32 = 12_582_912.0;

/// `v` plus [`NO_FRACTION`], `v` being within `lo..=hi` first.
#[inline(always)]
fn without_fraction(v: f32, lo: f32, hi: f32) -> f32 {
    // As for `clamp`.
    let v = if v < lo { lo } else { v };
    let v = if v > hi { hi } else { v };
    v + NO_FRACTION
}

/// The integer in `lo..=hi` nearest to `v`.
#[inline(always)]
pub(super) fn nearest(v: f32, lo: f32, hi: f32) -> f32 {
    without_fraction(v, lo, hi) - NO_FRACTION
}

/// The same as a byte; something arbitrary for NaN.
#[inline(always)]
pub(super) fn integer(v: f32, lo: f32, hi: f32) -> i8 {
    without_fraction(v, lo, hi).to_bits() as i8
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
        let (x, weights) = (x.as_chunks::<N>().0, w.as_chunks::<N>().0);
        let (lo, hi) = self.scale;
        let columns = turned(x);
        let w = if WEIGHTED { turned(weights) } else { own_weights(&columns) };
        let free: Lanes<GROUPS> = if WEIGHTED {
            each(|g| self.free(&x[g], &weights[g]))
        } else {
            self.free_of_all(x, &columns, &w)
        };
        // The scale of largest magnitude goes to the end of the range that is further from zero.
        let mut d = to_f16(largest(&free) / lo);
        let mut best = (f32::INFINITY, d, [0.0; GROUPS]);
        for _ in 0..if WEIGHTED { WEIGHTED_ROUNDS } else { ROUNDS } {
            let id = invert(d);
            let near: Lanes<GROUPS> = each(|g| nearest(free[g] * id, lo, hi));
            let around = |step: f32| map(&near, |near| nearest(near + step, lo, hi));
            // A scale of 0 gains nothing.
            let (mut gains, mut scales) = ([0.0; GROUPS], [0.0; GROUPS]);
            let mut sums = Products { xq: [0.0; GROUPS], qq: [0.0; GROUPS] };
            for tries in [near, around(-1.0), around(1.0)] {
                let found = self.products(&columns, &w, &map(&tries, |s| invert(d * s)));
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
            *q = map(&x[g], |v| integer(v * id, self.q.0, self.q.1));
        }
        SymmetricFit { d, scales: scales.map(|s| s as i8), q }
    }

    /// The best scales of all groups, were they free; `columns` and `w` are the groups' elements and weights by their place.
    #[inline(always)]
    fn free_of_all<const GROUPS: usize, const N: usize>(
        &self,
        x: &[[f32; N]],
        columns: &[Lanes<GROUPS>; N],
        w: &[Lanes<GROUPS>; N],
    ) -> Lanes<GROUPS> {
        // A closure with a loop in it would be compiled for itself.
        let mut inverse = [0.0; GROUPS];
        for (inverse, x) in inverse.iter_mut().zip(x) {
            *inverse = invert(largest(x));
        }
        let mut best = Products { xq: [0.0; GROUPS], qq: [1.0; GROUPS] };
        for trial in self.trials.into_iter().step_by(STRIDE) {
            best.keep_better(&self.products(columns, w, &map(&inverse, |inverse| trial * inverse)));
        }
        best.keep_better(&self.products(columns, w, &best.inverse_scales()));
        each(|g| best.xq[g] * invert(best.qq[g]))
    }

    /// The best scale of a group with weights, were it free.
    #[inline(always)]
    pub fn free<const N: usize>(&self, x: &[f32; N], w: &[f32; N]) -> f32 {
        let max = largest(x);
        if max.abs() < SMALLEST {
            return 0.0;
        }
        let products = |id: &Lanes<TRIALS>| {
            let mut out = Sums::default();
            sums::<true>(x, w, id, &[0.0; TRIALS], self.q, &mut out);
            Products { xq: out.xq, qq: out.qq }
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
    fn products<const GROUPS: usize, const N: usize>(
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
                let wq = w[g] * q;
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

/// What elements count that come without weights: more the larger they are in their block. llama.cpp weighs by the squares;
/// between those and none, errors weighted so and plain ones both come out below llama.cpp's.
#[inline(always)]
fn own_weights<const GROUPS: usize, const N: usize>(columns: &[Lanes<GROUPS>; N]) -> [Lanes<GROUPS>; N] {
    let mut largest = [0.0; GROUPS];
    for column in columns {
        largest = each(|g| if column[g].abs() > largest[g] { column[g].abs() } else { largest[g] });
    }
    let inverse = invert(largest.into_iter().fold(0.0, f32::max));
    let mut weights = *columns;
    for w in weights.as_flattened_mut() {
        let x = w.abs() * inverse;
        *w = x * (2.0 + x);
    }
    weights
}

/// The sums of each trial for `q = nearest((x + min) · id)`. Without weights `x` holds two groups by turns, an even number of
/// elements each, and so do the trials.
#[inline(always)]
fn sums<const WEIGHTED: bool>(
    x: &[f32],
    w: &[f32],
    id: &Lanes<TRIALS>,
    min: &Lanes<TRIALS>,
    range: (f32, f32),
    out: &mut Sums,
) {
    // SAFETY: the processor has what the function needs.
    unsafe { functions::<WEIGHTED>().next().unwrap_or(portable_sums::<WEIGHTED>)(x, w, id, min, range, out) }
}

type Function = unsafe fn(&[f32], &[f32], &Lanes<TRIALS>, &Lanes<TRIALS>, (f32, f32), &mut Sums);

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

/// As [`sums`].
fn portable_sums<const WEIGHTED: bool>(
    x: &[f32],
    w: &[f32],
    id: &Lanes<TRIALS>,
    min: &Lanes<TRIALS>,
    range: (f32, f32),
    out: &mut Sums,
) {
    let mut sums = Sums::default();
    let mut add = |v: Lanes<TURNS>, w: f32| {
        let v: Lanes<TRIALS> = in_turns(v);
        for i in 0..TRIALS {
            let q = nearest((v[i] + min[i]) * id[i], range.0, range.1);
            let wq = if WEIGHTED { w * q } else { q };
            sums.q[i] += wq;
            sums.xq[i] += v[i] * wq;
            sums.qq[i] += q * wq;
        }
    };
    if WEIGHTED {
        x.iter().zip(w).for_each(|(x, w)| add([*x; TURNS], *w));
    } else {
        x.as_chunks().0.iter().for_each(|x| add(*x, 1.0));
    }
    *out = sums;
}

/// The sums that `scale · q` is fitted to `x` with, a trial.
pub(super) struct Products<const C: usize> {
    /// Σwxq.
    pub xq: Lanes<C>,
    /// Σwq².
    pub qq: Lanes<C>,
}

impl<const C: usize> Products<C> {
    /// Takes those whose best scale leaves a lower squared error.
    #[inline(always)]
    fn keep_better(&mut self, other: &Self) {
        for i in 0..C {
            // xq² / qq, by which the error is lower, without a division: where qq is 0, so is xq.
            let better = other.xq[i] * other.xq[i] * self.qq[i] > self.xq[i] * self.xq[i] * other.qq[i];
            self.xq[i] = if better { other.xq[i] } else { self.xq[i] };
            self.qq[i] = if better { other.qq[i] } else { self.qq[i] };
        }
    }

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
        let [i] = argmax(&gains);
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

/// Neighbours that are tried, of the scale and of the minimum; without weights the first half.
const NEAR: [(f32, f32); TRIALS] = [
    (0.0, 0.0),
    (0.0, -1.0),
    (0.0, 1.0),
    (-1.0, 0.0),
    (-1.0, -1.0),
    (1.0, 0.0),
    (1.0, 1.0),
    (1.0, 2.0),
    (-1.0, 1.0),
    (1.0, -1.0),
    (-1.0, -2.0),
    (0.0, 2.0),
    (0.0, -2.0),
    (1.0, 3.0),
    (-1.0, -3.0),
    (2.0, 3.0),
];

/// The steps of [`NEAR`] for each trial, groups taking `turns`.
const fn neighbours(turns: usize) -> (Lanes<TRIALS>, Lanes<TRIALS>) {
    let mut steps = ([0.0; TRIALS], [0.0; TRIALS]);
    let mut i = 0;
    while i < TRIALS {
        (steps.0[i], steps.1[i]) = NEAR[i / turns];
        i += 1;
    }
    steps
}

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
        let turns = if WEIGHTED { 1 } else { TURNS };
        let by_turns = if WEIGHTED { *x } else { by_turns::<N>(x) };
        let (x, w) = (x.as_chunks::<N>().0, w.as_chunks::<N>().0);
        let rows = |g: usize| &by_turns[g * N..][..turns * N];
        // Here and below a step for all groups, then the next: each waits for its own sums, but not for the others'.
        let mut totals = [Totals::default(); GROUPS];
        for g in (0..GROUPS).step_by(turns) {
            totals[g] = Totals::of::<WEIGHTED>(rows(g), &w[g]);
        }
        let mut found = [Sums::default(); GROUPS];
        let mut free = [(0.0, 0.0); GROUPS];
        if WEIGHTED {
            for g in 0..GROUPS {
                free[g] = self.free(&x[g], &w[g], totals[g]);
            }
        } else {
            self.free_of_all(&rows, &totals, &mut found, &mut free);
        }
        let max = free.iter().fold((0.0f32, 0.0f32), |max, f| (max.0.max(f.0), max.1.max(f.1)));
        let (mut d, mut dmin) = (to_f16(max.0 / self.scale), to_f16(max.1 / self.scale));
        let mut best = (f32::INFINITY, d, dmin, [0.0; GROUPS], [0.0; GROUPS]);
        // Neighbours are those of the best free scales and minima first, then of what was found.
        let (id, idmin) = (invert(d), invert(dmin));
        let mut center = (map(&free, |f| f.0 * id), map(&free, |f| f.1 * idmin));
        let near = |v: f32| nearest(v, 0.0, self.scale);
        let steps = if WEIGHTED { &const { neighbours(1) } } else { &const { neighbours(TURNS) } };
        for _ in 0..if WEIGHTED { WEIGHTED_ROUNDS } else { ROUNDS } {
            let (mut scales, mut mins) = ([0.0; GROUPS], [0.0; GROUPS]);
            let mut total = 0.0;
            // x ≈ d · sq − dmin · m: the sums of the normal equations.
            let (mut sq_sq, mut sq_m, mut m_m, mut x_sq, mut x_m) = (0.0, 0.0, 0.0, 0.0, 0.0);
            let mut tried = [[[0.0; TRIALS]; 2]; GROUPS];
            for g in (0..GROUPS).step_by(turns) {
                let around = |of: &Lanes<GROUPS>, steps: &Lanes<TRIALS>| {
                    let of: Lanes<TRIALS> =
                        in_turns::<TRIALS, TURNS>(each(|turn| near(of[g + turn % turns])));
                    each(|i| near(of[i] + steps[i]))
                };
                let [s, m] = [around(&center.0, &steps.0), around(&center.1, &steps.1)];
                tried[g] = [s, m];
                let (id, min) = (map(&s, |s| invert(d * s)), map(&m, |m| dmin * m));
                self.sums::<WEIGHTED>(rows(g), &w[g], &id, &min, &mut found[g]);
            }
            for g in (0..GROUPS).step_by(turns) {
                let ([s, m], totals, found) = (&tried[g], &totals[g], &found[g]);
                let gains: Lanes<TRIALS> = each(|i| found.gain(totals, i, d * s[i], dmin * m[i]));
                let best_of = if WEIGHTED { [argmax::<TRIALS, 1>(&gains)[0]; TURNS] } else { argmax(&gains) };
                for (turn, &i) in best_of[..turns].iter().enumerate() {
                    let (s, m) = (s[i], m[i]);
                    (scales[g + turn], mins[g + turn]) = (s, m);
                    total -= gains[i];
                    sq_sq += s * s * found.qq[i];
                    sq_m += s * m * found.q[i];
                    m_m += m * m * totals.w;
                    x_sq += s * found.xq[i];
                    x_m += m * totals.x[turn];
                }
            }
            if total >= best.0 {
                break;
            }
            best = (total, d, dmin, scales, mins);
            center = (scales, mins);
            let det = sq_sq * m_m - sq_m * sq_m;
            if det > 0.0 {
                d = to_f16((x_sq * m_m - x_m * sq_m) / det);
                dmin = to_f16(((x_sq * sq_m - x_m * sq_sq) / det).max(0.0));
            }
            // A round more would hardly find any better.
            if (d, dmin) == (best.1, best.2) {
                break;
            }
        }
        let (_, d, dmin, scales, mins) = best;
        let mut q = [0; 256];
        for (g, q) in q.as_chunks_mut::<N>().0.iter_mut().enumerate() {
            let (id, min) = (invert(d * scales[g]), dmin * mins[g]);
            *q = map(&x[g], |v| integer((v + min) * id, 0.0, self.q));
        }
        AffineFit { d, dmin, scales: scales.map(|s| s as u8), mins: mins.map(|m| m as u8), q }
    }

    /// The best scales and minima of all groups without weights, were they free. `rows` gives two by turns; `found` is room.
    #[inline(always)]
    fn free_of_all<'a, const GROUPS: usize>(
        &self,
        rows: &impl Fn(usize) -> &'a [f32],
        totals: &[Totals; GROUPS],
        found: &mut [Sums; GROUPS],
        free: &mut [(f32, f32); GROUPS],
    ) {
        let (mut lo, mut span) = ([0.0; GROUPS], [0.0; GROUPS]);
        for g in (0..GROUPS).step_by(TURNS) {
            let (min, max) = ranges_by_turns(rows(g));
            for turn in 0..TURNS {
                lo[g + turn] = min[turn].min(-self.min);
                span[g + turn] = max[turn] - lo[g + turn];
            }
        }
        for g in (0..GROUPS).step_by(TURNS) {
            let inverse: Lanes<TRIALS> = in_turns([1.0 / span[g], 1.0 / span[g + 1]]);
            let min: Lanes<TRIALS> = in_turns([-lo[g], -lo[g + 1]]);
            self.sums::<false>(rows(g), &[], &each(|i| self.trials[i | 1] * inverse[i]), &min, &mut found[g]);
        }
        let mut refined = [[[0.0; TRIALS]; 2]; GROUPS];
        for g in (0..GROUPS).step_by(TURNS) {
            let [scale, min] = found[g].fits(&totals[g], self.min);
            refined[g] = [map(&scale, invert), min];
        }
        for g in (0..GROUPS).step_by(TURNS) {
            let [id, min] = &refined[g];
            self.sums::<false>(rows(g), &[], id, min, &mut found[g]);
        }
        for g in (0..GROUPS).step_by(TURNS) {
            let best: [_; TURNS] = found[g].best(&totals[g], self.min);
            for (g, best) in (g..).zip(best) {
                free[g] = if span[g] < SMALLEST { (0.0, -lo[g]) } else { best.1 };
            }
        }
    }

    /// The best scale and minimum of a group with weights, were they free; `totals` are the group's.
    #[inline(always)]
    pub fn free<const N: usize>(&self, x: &[f32; N], w: &[f32; N], totals: Totals) -> (f32, f32) {
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
                let mut fit = Sums::default();
                self.sums::<true>(x, w, &id, &[(-from).max(self.min); TRIALS], &mut fit);
                for _ in 1..FITS {
                    let [scale, min] = fit.fits(&totals, self.min);
                    self.sums::<true>(x, w, &map(&scale, invert), &min, &mut fit);
                }
                let [found] = fit.best(&totals, self.min);
                if found.0 > best.0 {
                    best = found;
                }
            }
        }
        best.1
    }

    /// The sums for `q` from the reciprocals of trial scales and from trial minima.
    #[inline(always)]
    fn sums<const WEIGHTED: bool>(
        &self,
        x: &[f32],
        w: &[f32],
        id: &Lanes<TRIALS>,
        min: &Lanes<TRIALS>,
        out: &mut Sums,
    ) {
        sums::<WEIGHTED>(x, w, id, min, (0.0, self.q), out);
    }
}

/// `C` values, those of `T` by turns.
#[inline(always)]
fn in_turns<const C: usize, const T: usize>(v: Lanes<T>) -> Lanes<C> {
    let mut out = [0.0; C];
    for out in out.as_chunks_mut().0 {
        *out = v;
    }
    out
}

/// The elements of `groups` of `N`, those of every two by turns.
#[inline(always)]
fn by_turns<const N: usize>(groups: &[f32; 256]) -> [f32; 256] {
    let mut out = [0.0; 256];
    for (out, groups) in out.chunks_exact_mut(TURNS * N).zip(groups.chunks_exact(TURNS * N)) {
        for (i, out) in out.as_chunks_mut::<TURNS>().0.iter_mut().enumerate() {
            *out = each(|turn| groups[i + turn * N]);
        }
    }
    out
}

/// Sums that do not depend on the trial.
#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    /// Σw of a group.
    w: f32,
    /// Σwx of the group of each trial.
    x: Lanes<TRIALS>,
}

impl Totals {
    /// Of a group, or without weights of two by turns.
    #[inline(always)]
    pub fn of<const WEIGHTED: bool>(x: &[f32], w: &[f32]) -> Self {
        if WEIGHTED {
            let of_x = x.iter().zip(w).map(|(x, w)| x * w).sum();
            return Totals { w: w.iter().sum(), x: [of_x; TRIALS] };
        }
        let x = x.as_chunks::<TURNS>().0;
        let sum = |sum: Lanes<TURNS>, x: &Lanes<TURNS>| each(|turn| sum[turn] + x[turn]);
        Totals { w: x.len() as f32, x: in_turns(x.iter().fold([0.0; TURNS], sum)) }
    }
}

/// The sums that `scale · q − min` is fitted to `x` with, a trial.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sums {
    /// Σwq.
    pub q: Lanes<TRIALS>,
    /// Σwxq.
    pub xq: Lanes<TRIALS>,
    /// Σwq².
    pub qq: Lanes<TRIALS>,
}

impl Sums {
    /// The best scale and minimum, `least` at least, for the `q` of each trial.
    #[inline(always)]
    fn fits(&self, totals: &Totals, least: f32) -> [Lanes<TRIALS>; 2] {
        let Totals { w, x } = totals;
        let [mut scale, mut min] = [[0.0; TRIALS]; 2];
        for (i, (scale, min)) in scale.iter_mut().zip(&mut min).enumerate() {
            let (x, q, xq, qq) = (x[i], self.q[i], self.xq[i], self.qq[i]);
            let det = w * qq - q * q;
            let both = ((w * xq - x * q) / det, (q * xq - x * qq) / det);
            // No branches, which would keep the loop from vectorizing.
            let possible = (det > 0.0) & (both.1 >= least);
            (*scale, *min) = if possible { both } else { (xq * invert(qq), 0.0) };
        }
        [scale, min]
    }

    /// The best scale and minimum of all trials of each of `T` groups by turns, after that by which they bring the squared error
    /// below Σwx².
    #[inline(always)]
    fn best<const T: usize>(&self, totals: &Totals, least: f32) -> [(f32, (f32, f32)); T] {
        let [scale, min] = self.fits(totals, least);
        let gains: Lanes<TRIALS> = each(|i| self.gain(totals, i, scale[i], min[i]));
        map(&argmax(&gains), |i| (gains[i], (scale[i], min[i])))
    }

    /// By how much `scale` and `min` bring the squared error of a trial below Σwx².
    #[inline(always)]
    fn gain(&self, totals: &Totals, i: usize, scale: f32, min: f32) -> f32 {
        let (w, x, q, xq, qq) = (totals.w, totals.x[i], self.q[i], self.xq[i], self.qq[i]);
        scale * (2.0 * xq - scale * qq) - min * (2.0 * x + min * w - 2.0 * scale * q)
    }
}

/// The place of the largest of every `T`th value, from the first, the second and so on to the `T`th; the first of equals.
#[inline(always)]
fn argmax<const C: usize, const T: usize>(v: &Lanes<C>) -> [usize; T] {
    // No branches: which it is cannot be foreseen.
    let largest: [f32; T] = reduce(v, |a, b| if b > a { b } else { a });
    let largest = in_turns::<C, T>(largest);
    let places: [u32; C] = each(|i| if v[i] == largest[i] { i as u32 } else { u32::MAX });
    let first: [u32; T] = reduce(&places, |a, b| if b < a { b } else { a });
    // None where all are NaN.
    each(|t| if first[t] == u32::MAX { t } else { first[t] as usize })
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
                let best = |a, b| if finite[b] > finite[a] { b } else { a };
                assert_eq!(argmax(&finite), [(0..16).reduce(best).unwrap()], "{finite:?}");
                let by_turns = [0, 1].map(|turn| (turn..16).step_by(2).reduce(best).unwrap());
                assert_eq!(argmax(&finite), by_turns, "{finite:?}");
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

    #[test]
    fn integers_are_the_nearest_numbers() {
        for (lo, hi) in [(-32.0, 31.0), (0.0, 15.0), (-127.0, 127.0)] {
            for v in (-1100..1100).map(|v| v as f32 / 8.0).chain([-1e30, 1e30, f32::INFINITY]) {
                assert_eq!(integer(v, lo, hi), v.round_ties_even().clamp(lo, hi) as i8, "{v}");
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
            for extra in [0.25, f32::NAN, f32::INFINITY] {
                x.truncate(263);
                x.push(extra);
                let w: Vec<f32> = (0..x.len() as u32).map(|i| number(i + 5000) + 1.0).collect();
                let bits = |sums: Sums| {
                    let bits = |v: f32| (v.is_nan(), v.to_bits() * u32::from(!v.is_nan()));
                    [sums.q, sums.xq, sums.qq].map(|s| s.map(bits))
                };
                let [mut plain, mut weighted] = [Sums::default(); 2];
                portable_sums::<false>(&x, &w, &id, &min, range, &mut plain);
                portable_sums::<true>(&x, &w, &id, &min, range, &mut weighted);
                let cases = [
                    (functions::<false>().collect::<Vec<_>>(), plain),
                    (functions::<true>().collect(), weighted),
                ];
                for (functions, expected) in cases {
                    for function in functions {
                        let mut sums = Sums { q: [f32::NAN; TRIALS], ..Sums::default() };
                        // SAFETY: the processor has what the function needs.
                        unsafe { function(&x, &w, &id, &min, range, &mut sums) };
                        assert_eq!(bits(sums), bits(expected), "{range:?}, {extra:?}");
                    }
                }
            }
        }
    }
}
