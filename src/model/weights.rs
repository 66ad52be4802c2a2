//! The tensors of a file, bound to their places in the model. Matrices stay in the map; only norm
//! weights and convolution taps (a tenth of a percent of a file) are decoded, to f32.

use super::ModelError;
use super::config::{Config, LayerKind};
use super::tensors::{self, Role, TensorSpec};
use crate::Result;
use crate::gguf::Gguf;
use brooklet_kernels::{TensorType, format};
use std::collections::{HashMap, HashSet};

/// A weight matrix in a map: `rows` × `cols`, row-major, of any storage type.
#[derive(Clone, Copy, Debug)]
pub struct Matrix {
    pub ty: TensorType,
    pub rows: usize,
    pub cols: usize,
    /// Which of the model's files it is in.
    file: usize,
    index: usize,
}

impl Matrix {
    /// The rows' bytes, one after the other.
    pub fn data<'a>(&self, files: &'a [Gguf]) -> &'a [u8] {
        let gguf = &files[self.file];
        gguf.data(&gguf.tensors()[self.index])
    }

    /// The name in its file.
    pub fn name<'a>(&self, files: &'a [Gguf]) -> &'a str {
        &files[self.file].tensors()[self.index].name
    }

    /// Bytes a row.
    pub fn row_bytes(&self) -> usize {
        self.cols / self.ty.block_len() * self.ty.block_bytes()
    }
}

pub enum Mixer {
    ShortConv(ShortConv),
    Attention(Attention),
}

pub struct ShortConv {
    /// `3·hidden × hidden`: B, C and X.
    pub in_proj: Matrix,
    /// `L × hidden`: tap j of every channel, then tap j + 1.
    pub taps: Vec<f32>,
    /// `hidden × hidden`.
    pub out_proj: Matrix,
}

pub struct Attention {
    pub num_kv_heads: usize,
    /// `num_heads·head_dim × hidden`.
    pub q_proj: Matrix,
    /// `num_kv_heads·head_dim × hidden`.
    pub k_proj: Matrix,
    pub v_proj: Matrix,
    /// `head_dim`.
    pub q_norm: Vec<f32>,
    pub k_norm: Vec<f32>,
    /// `hidden × num_heads·head_dim`.
    pub out_proj: Matrix,
}

pub struct Mlp {
    /// `ffn × hidden`.
    pub gate: Matrix,
    pub up: Matrix,
    /// `hidden × ffn`.
    pub down: Matrix,
}

pub struct Layer {
    pub operator_norm: Vec<f32>,
    pub mixer: Mixer,
    pub ffn_norm: Vec<f32>,
    pub mlp: Mlp,
}

pub struct Weights {
    /// `vocab × hidden`.
    pub embedding: Matrix,
    pub layers: Vec<Layer>,
    /// The final norm.
    pub norm: Vec<f32>,
    /// `vocab × hidden`; the embedding, unless the file has a head of its own.
    pub head: Matrix,
}

impl Weights {
    /// Finds every tensor of the table and checks its shape and type.
    pub fn bind(gguf: &Gguf, config: &Config) -> Result<Weights> {
        let specs = tensors::specs(config);
        let known: HashSet<&str> = specs.iter().map(|s| s.gguf.as_str()).collect();
        for info in gguf.tensors() {
            if !known.contains(info.name.as_str()) {
                return Err(ModelError::UnknownTensor(info.name.clone()).into());
            }
        }
        let mut bound = Bound { gguf, found: HashMap::new() };
        for spec in &specs {
            bound.check(spec)?;
        }

        let layers = config.layers.iter().enumerate().map(|(i, kind)| {
            let matrix = |name: &str| bound.matrix(&format!("blk.{i}.{name}.weight"));
            let floats = |name: &str| bound.floats(&format!("blk.{i}.{name}.weight"));
            Ok(Layer {
                operator_norm: floats("attn_norm")?,
                mixer: match *kind {
                    LayerKind::ShortConv => Mixer::ShortConv(ShortConv {
                        in_proj: matrix("shortconv.in_proj")?,
                        taps: transpose(&floats("shortconv.conv")?, config.conv_kernel),
                        out_proj: matrix("shortconv.out_proj")?,
                    }),
                    LayerKind::Attention { num_kv_heads } => Mixer::Attention(Attention {
                        num_kv_heads,
                        q_proj: matrix("attn_q")?,
                        k_proj: matrix("attn_k")?,
                        v_proj: matrix("attn_v")?,
                        q_norm: floats("attn_q_norm")?,
                        k_norm: floats("attn_k_norm")?,
                        out_proj: matrix("attn_output")?,
                    }),
                },
                ffn_norm: floats("ffn_norm")?,
                mlp: Mlp { gate: matrix("ffn_gate")?, up: matrix("ffn_up")?, down: matrix("ffn_down")? },
            })
        });
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let embedding = bound.matrix("token_embd.weight")?;
        let head = match bound.found.contains_key("output.weight") {
            true => bound.matrix("output.weight")?,
            false => embedding,
        };
        Ok(Weights { embedding, layers, norm: bound.floats("token_embd_norm.weight")?, head })
    }

    /// Takes the named matrices from `others`, which are of a model of the same shape and in `files[file]`.
    pub fn replace(&mut self, mut others: Weights, files: &[Gguf], file: usize, names: &[&str]) {
        for (own, other) in self.matrices().into_iter().zip(others.matrices()) {
            if names.contains(&own.name(files)) {
                *own = Matrix { file, ..*other };
            }
        }
    }

    /// Every matrix, in an order that the shape decides.
    fn matrices(&mut self) -> Vec<&mut Matrix> {
        let mut out = vec![&mut self.embedding, &mut self.head];
        for Layer { mixer, mlp: Mlp { gate, up, down }, .. } in &mut self.layers {
            match mixer {
                Mixer::ShortConv(ShortConv { in_proj, out_proj, .. }) => out.extend([in_proj, out_proj]),
                Mixer::Attention(Attention { q_proj, k_proj, v_proj, out_proj, .. }) => {
                    out.extend([q_proj, k_proj, v_proj, out_proj]);
                }
            }
            out.extend([gate, up, down]);
        }
        out
    }
}

/// The tensors whose shape has been checked, by name.
struct Bound<'a> {
    gguf: &'a Gguf,
    found: HashMap<String, usize>,
}

impl Bound<'_> {
    fn check(&mut self, spec: &TensorSpec) -> Result<()> {
        let Some(index) = self.gguf.tensors().iter().position(|t| t.name == spec.gguf) else {
            return match spec.optional {
                true => Ok(()),
                false => Err(ModelError::MissingTensor(spec.gguf.clone()).into()),
            };
        };
        let info = &self.gguf.tensors()[index];
        // Writers drop or keep trailing dimensions of 1.
        let trimmed = |shape: &[usize]| {
            let len = shape.iter().rposition(|d| *d != 1).map_or(1, |i| i + 1);
            shape[..len].to_vec()
        };
        if trimmed(&info.shape) != trimmed(&spec.shape) {
            return Err(ModelError::Shape {
                name: spec.gguf.clone(),
                expected: spec.shape.clone(),
                found: info.shape.clone(),
            }
            .into());
        }
        if spec.role == Role::Float && info.ty.is_quantized() {
            return Err(ModelError::Type {
                name: spec.gguf.clone(),
                expected: "F32, F16 or BF16",
                found: info.ty,
            }
            .into());
        }
        self.found.insert(spec.gguf.clone(), index);
        Ok(())
    }

    fn index(&self, name: &str) -> Result<usize> {
        self.found.get(name).copied().ok_or_else(|| ModelError::MissingTensor(name.into()).into())
    }

    fn matrix(&self, name: &str) -> Result<Matrix> {
        let index = self.index(name)?;
        let info = &self.gguf.tensors()[index];
        let cols = info.shape[0];
        Ok(Matrix { ty: info.ty, rows: info.shape.get(1).copied().unwrap_or(1), cols, file: 0, index })
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let info = &self.gguf.tensors()[self.index(name)?];
        let mut out = vec![0.0; info.shape.iter().product()];
        format::decode(info.ty, self.gguf.data(info), &mut out);
        Ok(out)
    }
}

/// `[rows][cols]` to `[cols][rows]`.
fn transpose(x: &[f32], cols: usize) -> Vec<f32> {
    let rows = x.len() / cols;
    (0..x.len()).map(|i| x[(i % rows) * cols + i / rows]).collect()
}
