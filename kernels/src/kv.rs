//! How keys and values lie in memory: so that attention reads them in one stream and never sums across lanes.

use crate::format::TensorType;
use crate::isa::Kernels;

/// Positions of a block, the unit of layout and of the online softmax.
pub const KEY_BLOCK: usize = 64;
/// Elements of a panel's row: what the kernels hold in registers for each row they multiply.
pub const PANEL: usize = 32;

/// Bytes of 32 rows of a key panel in Q8_0: as many as those of 32 Q8_0 blocks.
pub(crate) const Q8_KEYS: usize = PANEL * (2 + PANEL);
/// Bytes of a row of a value panel in Q8_0: a Q8_0 block.
pub(crate) const Q8_VALUES: usize = 2 + PANEL;

/// The layout of one head's keys and values at [`KEY_BLOCK`] consecutive positions.
///
/// Keys come first, transposed: a panel for each 32 positions, of `head_dim` rows, each one dimension of the 32 keys.
/// A query's 32 scores then are a sum over rows, lane by lane. Values follow: a panel for each 32 dimensions, of
/// [`KEY_BLOCK`] rows, each 32 dimensions of one position. Where `head_dim` is no multiple of 32, it is filled up.
///
/// Q8_0 keeps ggml's numbers, a scale for 32 dimensions of a position. In a value panel each row is a Q8_0 block;
/// in a key panel, the scales of 32 keys as f16 go before the 32 rows of int8 that they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    ty: TensorType,
    head_dim: usize,
}

impl KvLayout {
    /// The types that keys and values can have.
    pub const TYPES: [TensorType; 3] = [TensorType::F32, TensorType::F16, TensorType::Q8_0];

    /// The layout of heads of `head_dim` elements stored as `ty`; `None` if it is not one of [`KvLayout::TYPES`].
    pub fn new(ty: TensorType, head_dim: usize) -> Option<Self> {
        KvLayout::TYPES.contains(&ty).then_some(KvLayout { ty, head_dim })
    }

    /// The type.
    pub fn ty(&self) -> TensorType {
        self.ty
    }

    /// Elements of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Elements of a head, filled up to whole panels.
    pub fn padded_dim(&self) -> usize {
        self.head_dim.next_multiple_of(PANEL)
    }

    /// Bytes of a block, keys and values.
    pub fn block_bytes(&self) -> usize {
        2 * self.panels() * self.value_bytes()
    }

    /// The `p`-th panel of keys of a block, all its rows.
    pub fn keys<'a>(&self, block: &'a [u8], p: usize) -> &'a [u8] {
        let bytes = self.block_bytes() / 2 / (KEY_BLOCK / PANEL);
        &block[p * bytes..][..bytes]
    }

    /// The `c`-th panel of values of a block.
    pub fn values<'a>(&self, block: &'a [u8], c: usize) -> &'a [u8] {
        &block[self.block_bytes() / 2 + c * self.value_bytes()..][..self.value_bytes()]
    }

    /// Stores a key and a value, `head_dim` elements each, as position `at` of a block.
    pub fn store(&self, kernels: &Kernels, block: &mut [u8], at: usize, key: &[f32], value: &[f32]) {
        assert!(at < KEY_BLOCK && key.len() == self.head_dim && value.len() == self.head_dim);
        assert_eq!(block.len(), self.block_bytes());
        let (keys, values) = block.split_at_mut(self.block_bytes() / 2);
        for c in 0..self.panels() {
            let (key, value) = (panel(key, c), panel(value, c));
            // The rows of the key panel that these 32 dimensions are, and the row of the value panel.
            let first = (at / PANEL * self.panels() + c) * PANEL;
            let row = c * KEY_BLOCK + at;
            match self.ty {
                TensorType::F32 => {
                    put(keys, first, at, &key.map(f32::to_le_bytes));
                    put_row(values, row, &value.map(f32::to_le_bytes));
                }
                TensorType::F16 => {
                    put(keys, first, at, &to_f16(&key));
                    put_row(values, row, &to_f16(&value));
                }
                _ => {
                    let key = to_q8(kernels, &key);
                    let rows = &mut keys[first / PANEL * Q8_KEYS..][..Q8_KEYS];
                    let (scales, rows) = rows.split_at_mut(2 * PANEL);
                    scales.as_chunks_mut().0[at % PANEL] = [key[0], key[1]];
                    for (row, q) in rows.chunks_exact_mut(PANEL).zip(&key[2..]) {
                        row[at % PANEL] = *q;
                    }
                    values[row * Q8_VALUES..][..Q8_VALUES].copy_from_slice(&to_q8(kernels, &value));
                }
            }
        }
    }

    /// Forgets the positions of a block from `len` on.
    pub fn clear(&self, block: &mut [u8], len: usize) {
        if len == 0 {
            return block.fill(0);
        }
        let zeros = vec![0.0; self.head_dim];
        for at in len..KEY_BLOCK {
            self.store(&crate::scalar::KERNELS, block, at, &zeros, &zeros);
        }
    }

    fn panels(&self) -> usize {
        self.padded_dim() / PANEL
    }

    fn value_bytes(&self) -> usize {
        KEY_BLOCK * PANEL / self.ty.block_len() * self.ty.block_bytes()
    }
}

/// The `c`-th 32 elements, filled up with zeros.
fn panel(x: &[f32], c: usize) -> [f32; PANEL] {
    let mut out = [0.0; PANEL];
    let x = &x[c * PANEL..];
    let n = x.len().min(PANEL);
    out[..n].copy_from_slice(&x[..n]);
    out
}

/// Writes one key's elements into the column `at` of 32 rows from `first` on.
fn put<const N: usize>(keys: &mut [u8], first: usize, at: usize, x: &[[u8; N]; PANEL]) {
    let rows = &mut keys[first * PANEL * N..][..PANEL * PANEL * N];
    for (row, x) in rows.chunks_exact_mut(PANEL * N).zip(x) {
        row.as_chunks_mut::<N>().0[at % PANEL] = *x;
    }
}

fn put_row<const N: usize>(values: &mut [u8], row: usize, x: &[[u8; N]; PANEL]) {
    values[row * PANEL * N..][..PANEL * N].copy_from_slice(x.as_flattened());
}

fn to_f16(x: &[f32; PANEL]) -> [[u8; 2]; PANEL] {
    use half::slice::HalfFloatSliceExt;
    let mut out = [half::f16::ZERO; PANEL];
    out.convert_from_f32_slice(x);
    out.map(half::f16::to_le_bytes)
}

/// A Q8_0 block: the same bytes from every kernel set.
fn to_q8(kernels: &Kernels, x: &[f32; PANEL]) -> [u8; Q8_VALUES] {
    let (mut q, mut d) = ([0; PANEL], [0.0]);
    (kernels.quantize_q8)(x, &mut q, &mut d, &mut [0; 2]);
    let mut out = [0; Q8_VALUES];
    out[..2].copy_from_slice(&half::f16::from_f32_const(d[0]).to_le_bytes());
    out[2..].copy_from_slice(&q.map(|q| q as u8));
    out
}
