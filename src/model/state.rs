//! What a session remembers between tokens: keys, values and the convolutions' last inputs.

use super::config::{Config, LayerKind};
use brooklet_kernels::{TensorType, format};

/// Keys and values of one attention layer, as stored: position-major, `row_bytes` a position.
pub struct KvLayer {
    pub ty: TensorType,
    pub row_bytes: usize,
    pub k: Vec<u8>,
    pub v: Vec<u8>,
}

impl KvLayer {
    /// Appends rows of keys and values, `n × num_kv_heads·head_dim` floats each.
    pub fn push(&mut self, k: &[f32], v: &[f32]) {
        for (store, x) in [(&mut self.k, k), (&mut self.v, v)] {
            let start = store.len();
            store.resize(start + x.len() * self.ty.block_bytes(), 0);
            format::encode(self.ty, x, &mut store[start..]);
        }
    }
}

/// One layer's memory.
pub enum LayerState {
    /// The last L - 1 columns of B ⊙ X, oldest first: `(L - 1) × hidden`.
    ShortConv(Vec<f32>),
    Attention(KvLayer),
}

/// All layers' memory.
pub struct State {
    pub layers: Vec<LayerState>,
}

impl State {
    /// An empty state with room for `context` positions. The room is address space: the system gives
    /// memory as positions are written.
    pub fn new(
        config: &Config,
        kv_type: TensorType,
        context: usize,
    ) -> Result<State, std::collections::TryReserveError> {
        let mut layers = Vec::with_capacity(config.layers.len());
        for kind in &config.layers {
            layers.push(match *kind {
                LayerKind::ShortConv => {
                    LayerState::ShortConv(vec![0.0; (config.conv_kernel - 1) * config.hidden_size])
                }
                LayerKind::Attention { num_kv_heads } => {
                    let row_bytes = num_kv_heads * config.head_dim * kv_type.block_bytes();
                    let mut kv = KvLayer { ty: kv_type, row_bytes, k: Vec::new(), v: Vec::new() };
                    kv.k.try_reserve_exact(context.saturating_mul(row_bytes))?;
                    kv.v.try_reserve_exact(context.saturating_mul(row_bytes))?;
                    LayerState::Attention(kv)
                }
            });
        }
        Ok(State { layers })
    }

    /// Takes over another state's contents, keeping the room there is.
    pub fn copy_from(&mut self, other: &State) {
        for (to, from) in self.layers.iter_mut().zip(&other.layers) {
            match (to, from) {
                (LayerState::ShortConv(to), LayerState::ShortConv(from)) => to.copy_from_slice(from),
                (LayerState::Attention(to), LayerState::Attention(from)) => {
                    for (to, from) in [(&mut to.k, &from.k), (&mut to.v, &from.v)] {
                        to.clear();
                        to.extend_from_slice(from);
                    }
                }
                _ => unreachable!("both states are of one model"),
            }
        }
    }

    /// Drops keys and values after the first `len` positions and clears the convolutions.
    pub fn truncate(&mut self, len: usize) {
        for layer in &mut self.layers {
            match layer {
                LayerState::ShortConv(columns) => columns.fill(0.0),
                LayerState::Attention(kv) => {
                    kv.k.truncate(len * kv.row_bytes);
                    kv.v.truncate(len * kv.row_bytes);
                }
            }
        }
    }
}
