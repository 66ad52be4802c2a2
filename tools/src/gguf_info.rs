//! What a GGUF file says about itself, for people and reports.

use brooklet::Gguf;

/// llama.cpp's names of `general.file_type` (`enum llama_ftype`), as far as files with LFM2 use them.
const FILE_TYPES: [(usize, &str); 18] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (25, "IQ4_NL"),
    (32, "BF16"),
];

/// The name of the file's quantization.
pub fn file_type(gguf: &Gguf) -> Option<String> {
    let id = gguf.get_usize("general.file_type").ok()??;
    let known = FILE_TYPES.iter().find(|(known, _)| *known == id);
    Some(known.map_or_else(|| format!("type {id}"), |(_, name)| name.to_string()))
}

/// Elements of all tensors.
pub fn n_params(gguf: &Gguf) -> u64 {
    gguf.tensors().iter().map(|t| elements(&t.shape)).sum()
}

/// Elements of a tensor.
pub fn elements(shape: &[usize]) -> u64 {
    shape.iter().map(|d| *d as u64).product()
}

/// Bytes of all tensors.
pub fn tensor_bytes(gguf: &Gguf) -> u64 {
    gguf.tensors().iter().map(|t| t.len as u64).sum()
}
