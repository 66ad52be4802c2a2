//! Lays GGUF files out byte by byte, lies included, without the writer under test.

#![allow(dead_code, reason = "each test binary uses a part")]

/// GGUF's ids of value kinds.
pub mod kind {
    pub const U8: u32 = 0;
    pub const I8: u32 = 1;
    pub const U16: u32 = 2;
    pub const I16: u32 = 3;
    pub const U32: u32 = 4;
    pub const I32: u32 = 5;
    pub const F32: u32 = 6;
    pub const BOOL: u32 = 7;
    pub const STRING: u32 = 8;
    pub const ARRAY: u32 = 9;
    pub const U64: u32 = 10;
    pub const I64: u32 = 11;
    pub const F64: u32 = 12;
}

/// A file in the making. Counts follow what was added unless they are overridden.
#[derive(Clone)]
pub struct Raw {
    pub magic: [u8; 4],
    pub version: u32,
    pub tensor_count: Option<u64>,
    pub key_count: Option<u64>,
    pub alignment: usize,
    pub keys: Vec<Vec<u8>>,
    pub tensors: Vec<Vec<u8>>,
    pub data: Vec<u8>,
}

impl Raw {
    pub fn new() -> Self {
        Raw {
            magic: *b"GGUF",
            version: 3,
            tensor_count: None,
            key_count: None,
            alignment: 32,
            keys: vec![],
            tensors: vec![],
            data: vec![],
        }
    }

    /// A key with its value's bytes as they stand in the file.
    pub fn key(self, name: impl AsRef<[u8]>, kind: u32, value: &[u8]) -> Self {
        self.raw_key([string(name).as_slice(), &kind.to_le_bytes(), value].concat())
    }

    pub fn array(self, name: &str, kind: u32, len: u64, elements: &[u8]) -> Self {
        let value = [&kind.to_le_bytes()[..], &len.to_le_bytes(), elements].concat();
        self.key(name, kind::ARRAY, &value)
    }

    pub fn raw_key(mut self, bytes: Vec<u8>) -> Self {
        self.keys.push(bytes);
        self
    }

    pub fn tensor(self, name: impl AsRef<[u8]>, shape: &[u64], ty: u32, offset: u64) -> Self {
        let dims: Vec<u8> = shape.iter().flat_map(|dim| dim.to_le_bytes()).collect();
        let n_dims = (shape.len() as u32).to_le_bytes();
        self.raw_tensor(
            [string(name).as_slice(), &n_dims, &dims, &ty.to_le_bytes(), &offset.to_le_bytes()].concat(),
        )
    }

    pub fn raw_tensor(mut self, bytes: Vec<u8>) -> Self {
        self.tensors.push(bytes);
        self
    }

    pub fn data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = data.into();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        out.extend(self.key_count.unwrap_or(self.keys.len() as u64).to_le_bytes());
        out.extend(self.keys.concat());
        out.extend(self.tensors.concat());
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out.extend(&self.data);
        out
    }
}

/// A string with its length before it.
pub fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&(text.len() as u64).to_le_bytes(), text].concat()
}
