//! Which type each tensor gets: the choices of llama.cpp's `llama-quantize` (`src/llama-quant.cpp`), so
//! that files and sizes compare.

use brooklet_kernels::TensorType;
use std::fmt;
use std::str::FromStr;

/// A mixture of tensor types, as `--type` names it.
#[allow(non_camel_case_types, missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
    IQ4_NL,
    Q4_K_M,
    Q5_K_M,
    Q6_K,
}

use TensorType as T;

impl FileType {
    /// Every type.
    pub const ALL: [FileType; 9] = {
        use FileType::*;
        [F32, F16, BF16, Q8_0, Q4_0, IQ4_NL, Q4_K_M, Q5_K_M, Q6_K]
    };

    /// The name on the command line, in small letters.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The id in `general.file_type`.
    pub fn id(self) -> u32 {
        self.row().1
    }

    /// The type of most matrices.
    pub fn base(self) -> TensorType {
        self.row().2
    }

    /// Name, `general.file_type`, the type of most matrices.
    fn row(self) -> (&'static str, u32, TensorType) {
        match self {
            FileType::F32 => ("f32", 0, T::F32),
            FileType::F16 => ("f16", 1, T::F16),
            FileType::BF16 => ("bf16", 32, T::BF16),
            FileType::Q8_0 => ("q8_0", 7, T::Q8_0),
            FileType::Q4_0 => ("q4_0", 2, T::Q4_0),
            FileType::IQ4_NL => ("iq4_nl", 25, T::IQ4_NL),
            FileType::Q4_K_M => ("q4_k_m", 15, T::Q4_K),
            FileType::Q5_K_M => ("q5_k_m", 17, T::Q5_K),
            FileType::Q6_K => ("q6_k", 18, T::Q6_K),
        }
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for FileType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = text.to_ascii_lowercase();
        FileType::ALL.into_iter().find(|t| t.name() == wanted).ok_or_else(|| {
            format!("unknown type '{text}'; there are {}", FileType::ALL.map(FileType::name).join(", "))
        })
    }
}

/// The id in `general.file_type` of a file most of whose weights are of this type, as llama.cpp's loader guesses it where a
/// file does not say (`src/llama-model-loader.cpp`).
pub(super) fn id_of(ty: TensorType) -> u32 {
    let named = || FileType::ALL.into_iter().find(|t| t.base() == ty).expect("it has a file type");
    match ty {
        T::Q4_1 => 3,
        T::Q5_0 => 8,
        T::Q5_1 => 9,
        T::Q2_K => 10,
        T::Q3_K => 12,
        T::F32 | T::F16 | T::BF16 | T::Q4_0 | T::Q8_0 | T::Q4_K | T::Q5_K | T::Q6_K | T::IQ4_NL => {
            named().id()
        }
    }
}

/// What the choice depends on besides the tensor.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The mixture.
    pub file_type: FileType,
    /// Whether the embedding is the output head.
    pub tied: bool,
    /// Query heads a key/value head, a layer; 0 where a layer has no attention.
    pub gqa: Vec<usize>,
}

impl Choice {
    /// The type of the matrix `name` (its GGUF name) with rows of `row_len` elements.
    ///
    /// Where a row is no multiple of the type's block, the next larger type with blocks of 32 is taken,
    /// then F16. (llama-quantize refuses a Q4_0, Q8_0 or IQ4_NL row that is no multiple of 32; its
    /// converter takes F16, and so does this.)
    pub fn matrix(&self, name: &str, row_len: usize) -> TensorType {
        let base = self.file_type.base();
        if !base.is_quantized() {
            return base;
        }
        let fits = |ty: TensorType| row_len.is_multiple_of(ty.block_len());
        let wanted = self.mixture(name, fits(base));
        if fits(wanted) {
            return wanted;
        }
        let fallback = match wanted {
            T::Q4_K => T::Q5_0,
            T::Q5_K => T::Q5_1,
            T::Q6_K => T::Q8_0,
            _ => T::F16,
        };
        if fits(fallback) { fallback } else { T::F16 }
    }

    /// The type by position, before the row's length is looked at.
    fn mixture(&self, name: &str, base_fits: bool) -> TensorType {
        use FileType::*;
        let base = self.file_type.base();
        if name == "output.weight" || (self.tied && name == "token_embd.weight") {
            return if base == T::Q8_0 || !base_fits { T::Q8_0 } else { T::Q6_K };
        }
        let layers = self.gqa.len();
        let Some((layer, tensor)) = split_layer(name).filter(|(layer, _)| *layer < layers) else {
            return base;
        };
        match (self.file_type, tensor) {
            (Q4_K_M | Q5_K_M, "ffn_down.weight") if more_bits(layer, layers) => T::Q6_K,
            (IQ4_NL, "ffn_down.weight") if layer < layers / 8 => T::Q5_K,
            (Q4_K_M | Q5_K_M, "attn_v.weight") => {
                // Counted among attention layers only.
                let attention = |gqa: &[usize]| gqa.iter().filter(|g| **g > 0).count();
                let (index, count) = (attention(&self.gqa[..layer]), attention(&self.gqa));
                if more_bits(index, count) { T::Q6_K } else { base }
            }
            // llama.cpp looks at layer 0 only, whatever it is.
            (IQ4_NL, "attn_v.weight") if self.gqa[0] >= 4 => T::Q5_K,
            _ => base,
        }
    }
}

/// The first and last eighth, and every third between.
fn more_bits(index: usize, count: usize) -> bool {
    index < count / 8 || index >= 7 * count / 8 || (index - count / 8) % 3 == 2
}

/// `blk.7.attn_v.weight` into 7 and `attn_v.weight`.
fn split_layer(name: &str) -> Option<(usize, &str)> {
    let (layer, tensor) = name.strip_prefix("blk.")?.split_once('.')?;
    Some((layer.parse().ok()?, tensor))
}
