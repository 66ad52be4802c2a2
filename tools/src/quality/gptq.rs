//! Rounding with error feedback (GPTQ, arXiv:2210.17323): what is lost by rounding a weight is made up for by the weights
//! of its row that are rounded later, as far as their inputs go together in a calibration text.
//!
//! With X the inputs and H = XᵀX, an error e of a row costs eᵀHe. With H = U Uᵀ, U upper triangular, that is the sum over
//! the columns i of (Σ_{j ≤ i} U_ji e_j)²: once the columns before i are rounded, i is rounded from where its term would
//! be 0. Scales are those of the search with the diagonal of H for weights; columns go from the largest input to the
//! smallest.

use super::calibration;
use crate::error::{ConvertError, Result};
use brooklet::model::Inputs;
use brooklet::{Session, memory_available};
use brooklet_kernels::{Activations, Kernels, Panel, Spread, TensorType, format, tiles};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is added to the diagonal, relative to its mean: keeps what the text says of rare inputs from counting too much.
/// The larger ones are for inputs that go together so closely that rounding leaves nothing between them.
const DAMPING: [f32; 3] = [0.01, 0.1, 1.0];
/// Columns of a panel of the factorization.
const PANEL: usize = 64;
/// Rows of XᵀX that are computed at once.
const BLOCK: usize = 128;
/// Rows that are rounded side by side: they share a pass over the factor.
const ROWS: usize = 16;
/// What [`memory`] is at least, in bytes.
const LEAST_MEMORY: u64 = 512 << 20;

/// Bytes of the matrices XᵀX that are kept at once, if there are several: half of what the system could give, for what does
/// not fit takes the text through the model again.
pub fn memory() -> usize {
    let half = memory_available().unwrap_or(0) / 2;
    usize::try_from(half.max(LEAST_MEMORY)).unwrap_or(usize::MAX)
}

/// A model and a text to see its inputs with.
pub struct Gptq {
    path: PathBuf,
    session: Mutex<Session>,
    windows: Vec<Vec<u32>>,
}

/// XᵀX by the names of the matrices that read X.
type Products = BTreeMap<Vec<String>, Vec<f32>>;

impl Gptq {
    /// The windows of ids are taken through the session's model, which is that of the file `path` or a near copy, whenever
    /// inputs are wanted.
    pub fn new(path: &Path, session: Session, windows: Vec<Vec<u32>>) -> Gptq {
        Gptq { path: path.to_path_buf(), session: Mutex::new(session), windows }
    }

    /// What the inputs of the named matrices say. `go_on` is asked from time to time.
    ///
    /// # Errors
    /// A window that the session has no room for; an input that is not finite; [`ConvertError::Cancelled`] where it was
    /// not to go on.
    pub fn feedback(
        &self,
        names: &[&str],
        go_on: impl Fn() -> bool,
    ) -> Result<BTreeMap<String, Arc<Feedback>>> {
        let kernels = self.lock().model().kernels();
        let mut out = BTreeMap::new();
        for (readers, product) in self.products(names, &go_on)? {
            if !go_on() {
                return Err(ConvertError::Cancelled);
            }
            let width = product.len().isqrt();
            let feedback = Feedback::new(kernels, &product, width).ok_or_else(|| {
                let expected = "finite inputs (the model's weights are damaged)";
                ConvertError::tensor(&self.path, readers.join(", "), expected, "others")
            })?;
            let feedback = Arc::new(feedback);
            out.extend(readers.into_iter().map(|name| (name, feedback.clone())));
        }
        Ok(out)
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn products(&self, names: &[&str], go_on: &impl Fn() -> bool) -> Result<Products> {
        let wanted: Vec<String> = names.iter().map(|name| (*name).to_string()).collect();
        let products = Arc::new(Mutex::new(Products::new()));
        let sums = products.clone();
        let mut session = self.lock();
        let kernels = session.model().kernels();
        let observer = Arc::new(move |inputs: &Inputs<'_>| {
            let names = inputs.readers.iter().map(|name| (*name).to_string());
            let readers: Vec<String> = names.filter(|name| wanted.contains(name)).collect();
            if readers.is_empty() {
                return;
            }
            let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
            add_products(kernels, sums.entry(readers).or_default(), inputs.rows, inputs.width);
        });
        if !calibration::observe(&mut session, &self.windows, observer, |_| go_on())? {
            return Err(ConvertError::Cancelled);
        }
        drop(session);
        let mut products = products.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *products))
    }
}

/// Adds XᵀX, its lower half, of rows of `width`.
fn add_products(kernels: &Kernels, sums: &mut Vec<f32>, rows: &[f32], width: usize) {
    sums.resize(width * width, 0.0);
    let columns: Vec<f32> = (0..width).flat_map(|i| rows.iter().skip(i).step_by(width).copied()).collect();
    add_gram(kernels, &columns, rows.len() / width, 1.0, sums, width);
}

/// Adds `scale` times A Aᵀ, its lower half, to a matrix whose rows lie `stride` apart. A has rows of `k`.
fn add_gram(kernels: &Kernels, a: &[f32], k: usize, scale: f32, to: &mut [f32], stride: usize) {
    let bytes: Vec<u8> = a.iter().flat_map(|v| v.to_le_bytes()).collect();
    let blocks = to.par_chunks_mut(BLOCK * stride).zip(a.par_chunks(BLOCK * k)).enumerate();
    let scratch = || (Spread::default(), Panel::default(), Vec::new());
    blocks.for_each_init(scratch, |(spread, panel, out), (block, (to, x))| {
        let (first, count) = (block * BLOCK, x.len() / k);
        let (rows, x) = (first + count, Activations::Float { x });
        out.clear();
        out.resize(count * rows, 0.0);
        spread.clear();
        for mut part in spread.parts(kernels, TensorType::F32, k, count) {
            kernels.spread(TensorType::F32, x, &mut part);
        }
        for tile in &mut tiles(out, rows, rows) {
            kernels.matmul(
                TensorType::F32,
                &bytes[..rows * k * size_of::<f32>()],
                k,
                (x, spread),
                tile,
                panel,
            );
        }
        for (i, (to, products)) in to.chunks_mut(stride).zip(out.chunks(rows)).enumerate() {
            to.iter_mut().zip(&products[..=first + i]).for_each(|(to, p)| *to += scale * p);
        }
    });
}

/// How the columns of a matrix make up for each other.
pub struct Feedback {
    /// The columns, in the order in which they are rounded.
    order: Vec<usize>,
    /// Row i: U_ji / U_ii for the j before i, in that order.
    factors: Vec<f32>,
    /// The diagonal of XᵀX.
    weights: Vec<f32>,
}

impl Feedback {
    /// From the lower half of XᵀX; `None` where it is not finite.
    fn new(kernels: &Kernels, product: &[f32], width: usize) -> Option<Feedback> {
        let weights: Vec<f32> = (0..width).map(|i| product[i * width + i]).collect();
        let mean = weights.iter().sum::<f32>() / width as f32;
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
        // Lower triangular for the reversed order is upper triangular for the order.
        let reversed: Vec<usize> = order.iter().rev().copied().collect();
        let factor = |damping: f32| {
            let damping = if mean > 0.0 { damping * mean } else { 1.0 };
            let mut h = vec![0.0; width * width];
            for (i, a) in reversed.iter().enumerate() {
                for (j, b) in reversed[..=i].iter().enumerate() {
                    h[i * width + j] = product[a.max(b) * width + a.min(b)];
                }
                h[i * width + i] += damping;
            }
            cholesky(kernels, &mut h, width).map(|()| h)
        };
        let h = DAMPING.into_iter().find_map(factor)?;
        let mut factors = vec![0.0; width * width];
        for (i, factors) in factors.chunks_exact_mut(width).enumerate() {
            let column = width - 1 - i;
            let diagonal = h[column * width + column];
            for (j, factor) in factors[..i].iter_mut().enumerate() {
                *factor = h[(width - 1 - j) * width + column] / diagonal;
            }
        }
        Some(Feedback { order, factors, weights })
    }

    /// Encodes whole rows.
    pub fn encode(&self, ty: TensorType, x: &[f32], out: &mut [u8]) {
        let width = self.order.len();
        let bytes = out.len() / (x.len() / width);
        for (x, out) in x.chunks(ROWS * width).zip(out.chunks_mut(ROWS * bytes)) {
            self.encode_rows(ty, x, out);
        }
    }

    fn encode_rows(&self, ty: TensorType, x: &[f32], out: &mut [u8]) {
        let width = self.order.len();
        let weights: Vec<f32> = self.weights.iter().cycle().take(x.len()).copied().collect();
        format::encode_weighted(ty, x, &weights, out);
        let (mut scale, mut min) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        format::grid(ty, out, &mut scale, &mut min);
        let mut q = vec![0; x.len()];
        // Errors of the columns so far, in their order.
        let mut errors = vec![0.0; x.len()];
        for (i, (column, factors)) in self.order.iter().zip(self.factors.chunks_exact(width)).enumerate() {
            for row in 0..x.len() / width {
                let (at, errors) = (row * width + column, &mut errors[row * width..][..width]);
                let wanted = x[at] + dot(&factors[..i], &errors[..i]);
                let (scale, min) = (scale[at], min[at]);
                if scale != 0.0 {
                    q[at] = format::nearest(ty, (wanted + min) / scale);
                }
                errors[i] = x[at] - (scale * f32::from(q[at]) - min);
            }
        }
        format::put_integers(ty, &q, out);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// The lower half of `a` becomes that of L with L Lᵀ = a; `None` where there is none.
fn cholesky(kernels: &Kernels, a: &mut [f32], n: usize) -> Option<()> {
    for start in (0..n).step_by(PANEL) {
        let end = (start + PANEL).min(n);
        let (top, below) = a[start * n..].split_at_mut((end - start) * n);
        for j in 0..end - start {
            let (rows, rest) = top.split_at_mut((j + 1) * n);
            let row = &mut rows[j * n + start..][..j + 1];
            let diagonal = row[j] - dot(&row[..j], &row[..j]);
            if !(diagonal > 0.0 && diagonal.is_finite()) {
                return None;
            }
            row[j] = diagonal.sqrt();
            rest.chunks_exact_mut(n).for_each(|below| solve(&mut below[start..], row));
        }
        below.par_chunks_exact_mut(n).for_each(|below| {
            for j in 0..end - start {
                solve(&mut below[start..], &top[j * n + start..][..j + 1]);
            }
        });
        // What the panel takes off the columns after it.
        if !below.is_empty() {
            let panel: Vec<f32> = below.chunks_exact(n).flat_map(|row| &row[start..end]).copied().collect();
            add_gram(kernels, &panel, end - start, -1.0, &mut below[end..], n);
        }
    }
    Some(())
}

/// The element of a row below a row of L that ends with its diagonal, the elements before being there.
fn solve(below: &mut [f32], row: &[f32]) {
    let j = row.len() - 1;
    below[j] = (below[j] - dot(&below[..j], &row[..j])) / row[j];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inputs of `width` columns that go together, the same every time.
    fn inputs(width: usize, count: usize) -> Vec<f32> {
        let mut state = 5u64;
        let mut uniform = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let mut out = Vec::new();
        for _ in 0..count {
            let common = [uniform(), uniform(), uniform()];
            out.extend((0..width).map(|i| common[i % 3] * (1 + i % 5) as f32 + 0.3 * uniform()));
        }
        out
    }

    fn kernels() -> &'static Kernels {
        brooklet_kernels::active().expect("kernels")
    }

    fn feedback(x: &[f32], width: usize) -> Feedback {
        let mut product = Vec::new();
        add_products(kernels(), &mut product, x, width);
        Feedback::new(kernels(), &product, width).expect("finite")
    }

    /// 200: panels, blocks, and last ones that are not full.
    #[test]
    fn the_factor_squared_is_the_matrix() {
        let n = 200;
        let x = inputs(n, 400);
        let mut product = Vec::new();
        add_products(kernels(), &mut product, &x[..150 * n], n);
        add_products(kernels(), &mut product, &x[150 * n..], n);
        let largest = |a: &[f32]| (0..n).map(|i| a[i * n + i]).fold(0.0, f32::max);
        let scale = f64::from(largest(&product));
        for i in 0..n {
            for j in 0..=i {
                let expected: f64 = x.chunks(n).map(|x| f64::from(x[i]) * f64::from(x[j])).sum();
                let found = f64::from(product[i * n + j]);
                // Measured: 3.9e-7.
                assert!((found - expected).abs() <= 6e-7 * scale, "{i}, {j}: {found} for {expected}");
            }
        }
        let mut a = product;
        (0..n).for_each(|i| a[i * n + i] += 1.0);
        let before = a.clone();
        cholesky(kernels(), &mut a, n).expect("it is positive");
        for i in 0..n {
            for j in 0..=i {
                let product: f64 = (0..=j).map(|k| f64::from(a[i * n + k]) * f64::from(a[j * n + k])).sum();
                let error = (product - f64::from(before[i * n + j])).abs();
                // Measured: 5.2e-7.
                assert!(error <= 8e-7 * scale, "{i}, {j}: {error}");
            }
        }
        let mut indefinite = vec![1.0, 0.0, 2.0, 1.0];
        assert!(cholesky(kernels(), &mut indefinite, 2).is_none());
    }

    /// The squared error of the outputs.
    fn output_error(w: &[f32], quantized: &[f32], x: &[f32], width: usize) -> f64 {
        let mut total = 0.0;
        for (w, q) in w.chunks_exact(width).zip(quantized.chunks_exact(width)) {
            for x in x.chunks_exact(width) {
                let error: f32 = w.iter().zip(q).zip(x).map(|((w, q), x)| (w - q) * x).sum();
                total += f64::from(error).powi(2);
            }
        }
        total
    }

    #[test]
    fn outputs_come_out_nearer_than_without() {
        let width = 256;
        let (x, w) = (inputs(width, 600), inputs(width, 17));
        let feedback = feedback(&x, width);
        let weights: Vec<f32> = feedback.weights.iter().cycle().take(w.len()).copied().collect();
        for ty in TensorType::ALL.into_iter().filter(|ty| ty.is_quantized()) {
            let decoded = |data: &[u8]| {
                let mut out = vec![0.0; w.len()];
                format::decode(ty, data, &mut out);
                out
            };
            let mut data = vec![0; ty.bytes_for(w.len()).expect("whole blocks")];
            format::encode_weighted(ty, &w, &weights, &mut data);
            let before = output_error(&w, &decoded(&data), &x, width);
            feedback.encode(ty, &w, &mut data);
            let ratio = output_error(&w, &decoded(&data), &x, width) / before;
            // Measured: up to 0.5.
            assert!(ratio <= 0.6, "{ty}: {ratio}");
        }
    }

    #[test]
    fn columns_that_are_never_used_and_damaged_inputs() {
        let width = 64;
        let mut x = inputs(width, 100);
        x.iter_mut().step_by(2).for_each(|v| *v = 0.0);
        let w = inputs(width, 3);
        let mut data = vec![0; TensorType::Q4_0.bytes_for(w.len()).expect("whole blocks")];
        feedback(&x, width).encode(TensorType::Q4_0, &w, &mut data);
        feedback(&vec![0.0; width], width).encode(TensorType::Q4_0, &w, &mut data);
        x[5] = f32::NAN;
        let mut product = Vec::new();
        add_products(kernels(), &mut product, &x, width);
        assert!(Feedback::new(kernels(), &product, width).is_none());
    }
}
