//! Every kernel of every set that this processor runs: `cargo bench -p brooklet-kernels [-- FILTER]`.
//!
//! "item/s" are multiply-adds a second for products and elements a second for the others; "B/s" bytes of
//! weights for products and bytes of the input for the others. Everything fits the first two caches, so that
//! the kernel is measured, not the memory. The first lines are the machine's own limits.

mod work;

use brooklet_kernels::format::encode;
use brooklet_kernels::{
    KEY_BLOCK, Kernels, PANEL, Panel, Q8Buffer, Rows, RowsMut, TensorType, all, probe, tiles,
};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box, black_box_drop};
use std::fmt;
use work::{Product, numbers};

/// A row's length: the hidden width of LFM2-1.2B.
const K: usize = 2048;
/// Weight rows of a product: 64 KiB to 128 KiB in the quantized types.
const ROWS: usize = 64;
/// Tokens of a product with a few of them.
const FEW: usize = 4;
/// Tokens of a product with many of them.
const TOKENS: usize = 64;

fn main() {
    let giga = |rate: Option<f64>| rate.map_or("unknown".into(), |r| format!("{:.1} G", r / 1e9));
    println!(
        "One core at most: {} multiply-adds of small integers a second, {} of f32.\n",
        giga(probe::integer_peak(1)),
        giga(probe::float_peak(1)),
    );
    divan::main();
}

/// A kernel set and what it is to work on, as an argument that divan prints.
struct Case<T>(&'static Kernels, T);

impl<T: fmt::Display> fmt::Display for Case<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.name, self.1)
    }
}

/// Every set with every one of `items`.
fn cases<T: Clone>(items: impl IntoIterator<Item = T>) -> Vec<Case<T>> {
    let sets = all();
    items
        .into_iter()
        .flat_map(|item| sets.iter().map(move |k| Case(k, item.clone())).collect::<Vec<_>>())
        .collect()
}

fn types() -> Vec<Case<TensorType>> {
    cases(TensorType::ALL)
}

/// One token: what decode does.
#[divan::bench(args = types())]
fn matvec(bencher: Bencher<'_, '_>, Case(kernels, ty): &Case<TensorType>) {
    let product = Product::new(kernels, *ty, [ROWS, K, 1]);
    let mut out = vec![0.0; ROWS];
    bencher.counter(ItemsCount::new(ROWS * K)).counter(BytesCount::new(product.w.len())).bench_local(|| {
        kernels.matvec(*ty, black_box(&product.w), K, product.activations(), &mut out);
    });
    black_box_drop(out);
}

/// A few tokens: what several sequences do at once.
#[divan::bench(args = types())]
fn matmul_few(bencher: Bencher<'_, '_>, Case(kernels, ty): &Case<TensorType>) {
    let product = Product::new(kernels, *ty, [ROWS, K, FEW]);
    let x = product.activations();
    let mut out = vec![0.0; FEW * ROWS];
    let mut tiles = tiles(&mut out, ROWS, ROWS);
    bencher.counter(ItemsCount::new(FEW * ROWS * K)).bench_local(|| {
        kernels.matmul_few(*ty, black_box(&product.w), K, x, &mut tiles[0]);
    });
}

/// Many tokens: what prefill does, with the activations spread beforehand.
#[divan::bench(args = types(), sample_count = 20)]
fn matmul(bencher: Bencher<'_, '_>, Case(kernels, ty): &Case<TensorType>) {
    let product = Product::new(kernels, *ty, [ROWS, K, TOKENS]);
    let x = product.activations();
    let spread = product.spread(kernels);
    let mut out = vec![0.0; TOKENS * ROWS];
    let (mut tiles, mut panel) = (tiles(&mut out, ROWS, ROWS), Panel::default());
    bencher.counter(ItemsCount::new(TOKENS * ROWS * K)).bench_local(|| {
        kernels.matmul(*ty, black_box(&product.w), K, (x, &spread), &mut tiles[0], &mut panel);
    });
}

/// Spreads the activations of many tokens: once for all matrices that read them.
#[divan::bench(args = cases([TensorType::F32, TensorType::Q4_0]))]
fn spread_activations(bencher: Bencher<'_, '_>, Case(kernels, ty): &Case<TensorType>) {
    let product = Product::new(kernels, *ty, [ROWS, K, TOKENS]);
    bencher.counter(ItemsCount::new(TOKENS * K)).bench_local(|| product.spread(kernels));
}

/// Activations to int8.
#[divan::bench(args = cases([K]))]
fn quantize_q8(bencher: Bencher<'_, '_>, Case(kernels, n): &Case<usize>) {
    let x = numbers(*n);
    let mut q8 = Q8Buffer::with_capacity(*n);
    elementwise(bencher, *n).bench_local(|| q8.quantize(kernels, black_box(&x), *n));
}

/// One panel of values for a group of query heads.
#[divan::bench(args = cases([TensorType::F16, TensorType::F32]))]
fn attention_multiply(bencher: Bencher<'_, '_>, Case(kernels, ty): &Case<TensorType>) {
    const HEADS: usize = 4;
    let mut panel = vec![0; KEY_BLOCK * PANEL * ty.block_bytes()];
    encode(*ty, &numbers(KEY_BLOCK * PANEL), &mut panel);
    let a = numbers(HEADS * KEY_BLOCK);
    let mut out = vec![0.0; HEADS * PANEL];
    let macs = ItemsCount::new(HEADS * KEY_BLOCK * PANEL);
    bencher.counter(macs).counter(BytesCount::new(panel.len())).bench_local(|| {
        let a = Rows { data: &a, stride: KEY_BLOCK };
        let out = RowsMut { data: &mut out, stride: PANEL };
        (kernels.attention.multiply)(*ty, black_box(&panel), HEADS, a, out);
    });
}

#[divan::bench(args = cases([K]))]
fn rms_norm(bencher: Bencher<'_, '_>, Case(kernels, n): &Case<usize>) {
    let (x, w) = (numbers(*n), numbers(*n));
    let mut out = vec![0.0; *n];
    elementwise(bencher, *n).bench_local(|| (kernels.rms_norm)(black_box(&x), &w, 1e-5, &mut out));
}

#[divan::bench(args = cases([K]))]
fn silu_mul(bencher: Bencher<'_, '_>, Case(kernels, n): &Case<usize>) {
    let up = numbers(*n);
    // The gate is overwritten: it starts anew every time, or it would fade to zero.
    elementwise(bencher, *n)
        .with_inputs(|| numbers(*n))
        .bench_local_refs(|gate| (kernels.silu_mul)(gate, &up));
}

/// One step of the online softmax.
#[divan::bench(args = cases([KEY_BLOCK]))]
fn attention_softmax(bencher: Bencher<'_, '_>, Case(kernels, n): &Case<usize>) {
    elementwise(bencher, *n).with_inputs(|| numbers(*n)).bench_local_refs(|x| {
        let (mut max, mut sum) = (f32::NEG_INFINITY, 0.0);
        (kernels.attention.softmax)(x, &mut max, &mut sum)
    });
}

/// Counts a kernel over `n` floats.
fn elementwise<'a, 'b>(bencher: Bencher<'a, 'b>, n: usize) -> Bencher<'a, 'b> {
    bencher.counter(ItemsCount::new(n)).counter(BytesCount::of_many::<f32>(n))
}
