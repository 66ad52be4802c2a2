//! What the benches and the counting of instructions let the kernels work on.

use brooklet_kernels::format::encode;
use brooklet_kernels::{Activations, Kernels, Q8Buffer, Spread, TensorType};

/// As many numbers between -1 and 1, the same every time.
pub fn numbers(n: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// `rows × k` weights of a product with activations, one row of `k` a token.
pub struct Product {
    ty: TensorType,
    k: usize,
    tokens: usize,
    pub w: Vec<u8>,
    x: Vec<f32>,
    q8: Q8Buffer,
}

impl Product {
    pub fn new(kernels: &Kernels, ty: TensorType, [rows, k, tokens]: [usize; 3]) -> Self {
        let mut w = vec![0; rows * k / ty.block_len() * ty.block_bytes()];
        encode(ty, &numbers(rows * k), &mut w);
        let x = numbers(tokens * k);
        let mut q8 = Q8Buffer::with_capacity(tokens * k);
        q8.quantize(kernels, &x, k);
        Product { ty, k, tokens, w, x, q8 }
    }

    pub fn activations(&self) -> Activations<'_> {
        match self.ty.is_quantized() {
            true => Activations::Q8(&self.q8),
            false => Activations::Float { x: &self.x },
        }
    }

    pub fn spread(&self, kernels: &Kernels) -> Spread {
        let mut spread = Spread::default();
        for mut part in spread.parts(kernels, self.ty, self.k, self.tokens) {
            kernels.spread(self.ty, self.activations(), &mut part);
        }
        spread
    }
}
