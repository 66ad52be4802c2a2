//! The work that `tools/count-instructions` counts instructions of: run it under callgrind, which adds up what
//! happens inside [`measured`] and writes one file a call. Prints one line a call, in order: the kernel set,
//! the kernel, the type of its weights, and how many multiply-adds (or elements) a call takes.

#[path = "../benches/work/mod.rs"]
mod work;

use brooklet_kernels::format::encode;
use brooklet_kernels::{KEY_BLOCK, Kernels, PANEL, Panel, Q8Buffer, Rows, RowsMut, TensorType, all, tiles};
use work::{Product, numbers};

/// Weight rows, tokens, and the length of a row: enough that what happens once a call does not show.
const ROWS: usize = 64;
const TOKENS: usize = 48;
/// Tokens of a product with a few.
const FEW: usize = 4;
const K: usize = 1024;
/// Query heads that share keys and values.
const HEADS: usize = 4;

fn main() {
    // Scalar code is the specification, and as fast as it happens to be.
    for kernels in all().into_iter().filter(|k| k.name != "scalar") {
        for ty in TensorType::ALL {
            products(kernels, ty);
        }
        elementwise(kernels);
    }
}

/// One call that callgrind counts.
#[inline(never)]
fn measured(call: &mut dyn FnMut()) {
    call();
}

fn count(kernels: &Kernels, kernel: &str, ty: &str, items: usize, mut call: impl FnMut()) {
    measured(&mut call);
    println!("{} {kernel} {ty} {items}", kernels.name);
}

fn products(kernels: &Kernels, ty: TensorType) {
    let one = Product::new(kernels, ty, [ROWS, K, 1]);
    let mut out = vec![0.0; ROWS];
    count(kernels, "matvec", ty.name(), ROWS * K, || {
        kernels.matvec(ty, &one.w, K, one.activations(), &mut out);
    });
    let few = Product::new(kernels, ty, [ROWS, K, FEW]);
    let mut out = vec![0.0; FEW * ROWS];
    let mut tile = tiles(&mut out, ROWS, ROWS);
    count(kernels, "matmul_few", ty.name(), FEW * ROWS * K, || {
        kernels.matmul_few(ty, &few.w, K, few.activations(), &mut tile[0]);
    });
    let many = Product::new(kernels, ty, [ROWS, K, TOKENS]);
    let (x, spread) = (many.activations(), many.spread(kernels));
    let mut out = vec![0.0; TOKENS * ROWS];
    let (mut tiles, mut panel) = (tiles(&mut out, ROWS, ROWS), Panel::default());
    count(kernels, "matmul", ty.name(), TOKENS * ROWS * K, || {
        kernels.matmul(ty, &many.w, K, (x, &spread), &mut tiles[0], &mut panel);
    });
}

fn elementwise(kernels: &Kernels) {
    let (x, w) = (numbers(K), numbers(K));
    let mut out = x.clone();
    let mut q8 = Q8Buffer::with_capacity(K);
    count(kernels, "quantize_q8", "F32", K, || q8.quantize(kernels, &x, K));
    count(kernels, "rms_norm", "F32", K, || (kernels.rms_norm)(&x, &w, 1e-5, &mut out));
    count(kernels, "silu_mul", "F32", K, || (kernels.silu_mul)(&mut out, &w));
    let mut scores = numbers(KEY_BLOCK);
    let (mut max, mut sum) = (f32::NEG_INFINITY, 0.0);
    count(kernels, "softmax", "F32", KEY_BLOCK, || {
        (kernels.attention.softmax)(&mut scores, &mut max, &mut sum);
    });
    for ty in [TensorType::F16, TensorType::F32] {
        let mut panel = vec![0; KEY_BLOCK * PANEL * ty.block_bytes()];
        encode(ty, &numbers(KEY_BLOCK * PANEL), &mut panel);
        let a = numbers(HEADS * KEY_BLOCK);
        let mut out = vec![0.0; HEADS * PANEL];
        count(kernels, "attention", ty.name(), HEADS * KEY_BLOCK * PANEL, || {
            let (a, out) = (Rows { data: &a, stride: KEY_BLOCK }, RowsMut { data: &mut out, stride: PANEL });
            (kernels.attention.multiply)(ty, &panel, HEADS, a, out);
        });
    }
}
