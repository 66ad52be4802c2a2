//! What a session remembers between tokens: keys, values and the convolutions' last inputs.

use super::config::{Config, LayerKind};
use super::kv::KvLayer;
use brooklet_kernels::KvLayout;

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
    /// memory as positions are written, on large pages if that is wanted: faster, but more than is used at first.
    pub fn new(
        config: &Config,
        layout: KvLayout,
        context: usize,
        large_pages: bool,
    ) -> std::io::Result<State> {
        let mut layers = Vec::with_capacity(config.layers.len());
        for kind in &config.layers {
            layers.push(match *kind {
                LayerKind::ShortConv => {
                    LayerState::ShortConv(vec![0.0; (config.conv_kernel - 1) * config.hidden_size])
                }
                LayerKind::Attention { num_kv_heads } => {
                    let kv = KvLayer::new(layout, num_kv_heads, context)?;
                    kv.want_large_pages(large_pages);
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
                    to.copy_from(from);
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
                LayerState::Attention(kv) => kv.truncate(len),
            }
        }
    }
}
