//! Keys and values of an attention layer.

use crate::system;
use brooklet_kernels::{KEY_BLOCK, Kernels, KvLayout};
use std::ops::Range;

/// Positions of a piece, which is the unit of parallel work over a long context: see
/// [`super::attention`].
pub const PIECE: usize = 1024;
const PIECE_BLOCKS: usize = PIECE / KEY_BLOCK;

/// Keys and values of one layer, as stored: for each piece, for each head, the piece's blocks. So a
/// head's keys and values of a piece are one stream of memory.
pub struct KvLayer {
    layout: KvLayout,
    num_kv_heads: usize,
    /// Positions held.
    len: usize,
    /// Room for all positions there can be, of which the system gives memory as it is written.
    memory: system::Zeros,
}

impl KvLayer {
    /// An empty layer with room for `context` positions.
    pub fn new(layout: KvLayout, num_kv_heads: usize, context: usize) -> std::io::Result<KvLayer> {
        let bytes = [num_kv_heads, PIECE_BLOCKS, layout.block_bytes()]
            .iter()
            .try_fold(context.div_ceil(PIECE), |bytes, n| bytes.checked_mul(*n))
            .ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(KvLayer { layout, num_kv_heads, len: 0, memory: system::zeros(bytes)? })
    }

    /// Asks for large pages, or not to get any. Reading a long context touches every page of it for every token: large
    /// ones save page table walks, but hold more than is used. A system without them says so, and has lost nothing.
    pub fn want_large_pages(&self, want: bool) {
        system::want_large_pages(&self.memory, want);
    }

    /// How the blocks are laid out.
    pub fn layout(&self) -> KvLayout {
        self.layout
    }

    /// Heads.
    pub fn num_kv_heads(&self) -> usize {
        self.num_kv_heads
    }

    /// Block `i` of a head: positions `i · KEY_BLOCK` on.
    pub fn block(&self, head: usize, i: usize) -> &[u8] {
        &self.memory[self.block_at(head, i)]
    }

    fn block_at(&self, head: usize, i: usize) -> Range<usize> {
        let (piece, block) = (i / PIECE_BLOCKS, i % PIECE_BLOCKS);
        let bytes = self.layout.block_bytes();
        let start = ((piece * self.num_kv_heads + head) * PIECE_BLOCKS + block) * bytes;
        start..start + bytes
    }

    /// Appends rows of keys and values, `n × num_kv_heads·head_dim` floats each.
    pub fn push(&mut self, kernels: &Kernels, k: &[f32], v: &[f32]) {
        let d = self.layout.head_dim();
        let row = self.num_kv_heads * d;
        for (k, v) in k.chunks_exact(row).zip(v.chunks_exact(row)) {
            for (head, (k, v)) in k.chunks_exact(d).zip(v.chunks_exact(d)).enumerate() {
                let at = self.block_at(head, self.len / KEY_BLOCK);
                let block = &mut self.memory[at];
                if self.len.is_multiple_of(KEY_BLOCK) {
                    self.layout.clear(block, 0);
                }
                self.layout.store(kernels, block, self.len % KEY_BLOCK, k, v);
            }
            self.len += 1;
        }
    }

    /// Drops positions after the first `len`.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len && !len.is_multiple_of(KEY_BLOCK) {
            for head in 0..self.num_kv_heads {
                let at = self.block_at(head, len / KEY_BLOCK);
                self.layout.clear(&mut self.memory[at], len % KEY_BLOCK);
            }
        }
        self.len = self.len.min(len);
    }

    /// Takes over another layer's positions.
    pub fn copy_from(&mut self, other: &KvLayer) {
        for (to, from) in self.resized(other.len).zip(other.blocks()) {
            to.copy_from_slice(from);
        }
    }

    /// The blocks that hold positions, as stretches of memory. What is beyond the last position is zeros.
    pub fn blocks(&self) -> impl Iterator<Item = &[u8]> {
        stretches(self.len, self.num_kv_heads, self.layout.block_bytes())
            .zip(self.memory.chunks_exact(PIECE_BLOCKS * self.layout.block_bytes()))
            .map(|(used, piece)| &piece[..used])
    }

    /// As [`KvLayer::blocks`], of `len` positions that the caller fills.
    pub fn resized(&mut self, len: usize) -> impl Iterator<Item = &mut [u8]> {
        self.len = len;
        stretches(len, self.num_kv_heads, self.layout.block_bytes())
            .zip(self.memory.chunks_exact_mut(PIECE_BLOCKS * self.layout.block_bytes()))
            .map(|(used, piece)| &mut piece[..used])
    }
}

/// Bytes used of each head's blocks of each piece, for `len` positions.
fn stretches(len: usize, num_kv_heads: usize, block_bytes: usize) -> impl Iterator<Item = usize> {
    let blocks = len.div_ceil(KEY_BLOCK);
    (0..blocks)
        .step_by(PIECE_BLOCKS)
        .flat_map(move |first| std::iter::repeat_n((blocks - first).min(PIECE_BLOCKS), num_kv_heads))
        .map(move |blocks| blocks * block_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Positions in every piece: a copy, and what is truncated and pushed again, equal what never saw more.
    #[test]
    fn truncated_and_copied_layers_hold_the_same() {
        let row = |i: usize| -> Vec<f32> { (0..16).map(|j| ((i * 7 + j * 3) % 19) as f32).collect() };
        let filled = |ty, from: usize, layer: Option<KvLayer>, to: usize| {
            let layout = KvLayout::new(ty, 8).expect("a type for keys and values");
            let mut layer = layer.unwrap_or_else(|| KvLayer::new(layout, 2, 3000).expect("there is memory"));
            let kernels = brooklet_kernels::all()[0];
            (from..to).for_each(|i| layer.push(kernels, &row(i), &row(i + 5)));
            layer
        };
        for ty in KvLayout::TYPES {
            let all = |layer: &KvLayer| layer.blocks().flatten().copied().collect::<Vec<u8>>();
            for len in [0, 1, 63, 64, 100, 1023, 1024, 1025, 2100] {
                let mut long = filled(ty, 0, None, 2300);
                let short = filled(ty, 0, None, len);
                long.truncate(len);
                assert!(all(&long) == all(&short), "{ty}, {len}");
                let mut copy = filled(ty, 0, None, 70);
                copy.copy_from(&short);
                assert!(all(&copy) == all(&short), "{ty}, {len}");
                let (again, straight) =
                    (filled(ty, len, Some(long), 2200), filled(ty, len, Some(short), 2200));
                assert!(all(&again) == all(&straight), "{ty}, {len}");
                assert_eq!(again.len, 2200);
            }
        }
    }
}
