//! Safetensors checkpoints: one file, or shards under an index.
//!
//! Headers are parsed and validated by the `safetensors` crate (offsets contiguous, sizes equal to shape
//! times type); what it cannot see is checked here: that the data ends where the file ends, that no tensor
//! is in two shards, that index and shards agree. Data is read at its offset into buffers of the caller.

use super::json;
use crate::error::{ConvertError, Result, short};
use crate::system::read_exact_at;
use brooklet_kernels::TensorType;
use safetensors::Dtype;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Component, Path, PathBuf};

/// A header describes some hundred bytes a tensor; 32 MiB would be 200,000 of them.
const MAX_HEADER: u64 = 32 << 20;
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a checkpoint directory.
pub struct Checkpoint {
    dir: PathBuf,
    shards: Vec<Shard>,
    tensors: BTreeMap<String, Tensor>,
}

struct Shard {
    path: PathBuf,
    file: File,
}

/// One tensor: what it is and where its data lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// F32, F16 or BF16; `Err` holds the name of any other type.
    pub ty: std::result::Result<TensorType, String>,
    /// Rows first.
    pub shape: Vec<usize>,
    shard: usize,
    offset: u64,
    len: u64,
}

impl Tensor {
    /// Bytes of data.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.len
    }
}

impl Checkpoint {
    /// Opens every shard of `dir` and checks all headers. No tensor data is read.
    ///
    /// # Errors
    /// No checkpoint, a missing shard, a header that is damaged or lies, a tensor in two shards, an index
    /// that names other tensors than the shards hold, or a shard outside the directory.
    pub fn open(dir: &Path) -> Result<Checkpoint> {
        let mut checkpoint =
            Checkpoint { dir: dir.to_path_buf(), shards: Vec::new(), tensors: BTreeMap::new() };
        let index_path = dir.join(INDEX);
        match json::read_optional::<Index>(&index_path)? {
            Some(index) => checkpoint.open_shards(&index_path, &index)?,
            None => {
                let path = dir.join(SINGLE);
                if !path.exists() {
                    let reason = format!("it has neither {SINGLE} nor {INDEX}");
                    return Err(ConvertError::NotLfm2 { path: dir.to_path_buf(), reason });
                }
                checkpoint.add_shard(path)?;
            }
        }
        Ok(checkpoint)
    }

    /// Opens one file of `dir` as a checkpoint of its own.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_file(dir: &Path, path: PathBuf) -> Result<Checkpoint> {
        let mut checkpoint =
            Checkpoint { dir: dir.to_path_buf(), shards: Vec::new(), tensors: BTreeMap::new() };
        checkpoint.add_shard(path)?;
        Ok(checkpoint)
    }

    fn open_shards(&mut self, index_path: &Path, index: &Index) -> Result<()> {
        let names: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
        for name in names {
            let mut parts = Path::new(name).components();
            let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
            if !plain {
                return Err(ConvertError::field(index_path, "weight_map", "plain file names", name));
            }
            let path = self.dir.join(name);
            if !path.exists() {
                return Err(ConvertError::field(index_path, "weight_map", "files that are there", name));
            }
            self.add_shard(path)?;
        }
        for (tensor, shard) in &index.weight_map {
            let found = self.tensors.get(tensor).map(|t| &self.shards[t.shard].path);
            let expected = self.dir.join(shard);
            if found != Some(&expected) {
                let found = found.map_or("it nowhere".into(), |p| format!("it in {}", p.display()));
                return Err(ConvertError::tensor(index_path, tensor, format!("it in {shard}"), found));
            }
        }
        match self.tensors.keys().find(|t| !index.weight_map.contains_key(*t)) {
            Some(extra) => Err(ConvertError::tensor(index_path, extra, "every tensor listed", "it missing")),
            None => Ok(()),
        }
    }

    fn add_shard(&mut self, path: PathBuf) -> Result<()> {
        let file = File::open(&path).map_err(ConvertError::io("open", &path))?;
        let file_len = file.metadata().map_err(ConvertError::io("read", &path))?.len();
        let fail = |reason: String| ConvertError::Safetensors { path: path.clone(), reason };

        let mut prefix = [0; 8];
        if file_len < 8 {
            return Err(fail(format!("no safetensors file: expected at least 8 bytes, found {file_len}")));
        }
        read_exact_at(&file, &mut prefix, 0).map_err(ConvertError::io("read", &path))?;
        let header_len = u64::from_le_bytes(prefix);
        let room = MAX_HEADER.min(file_len - 8);
        if header_len > room {
            return Err(fail(format!("header length: expected at most {room} bytes, found {header_len}")));
        }
        let mut header = vec![0; header_len as usize];
        read_exact_at(&file, &mut header, 8).map_err(ConvertError::io("read", &path))?;
        let metadata: safetensors::tensor::Metadata = serde_json::from_slice(&header).map_err(|e| {
            fail(format!("the header does not parse or contradicts itself: {}", short(&e.to_string())))
        })?;

        let data_start = 8 + header_len;
        let data_end = metadata.data_len() as u64;
        if data_start.checked_add(data_end) != Some(file_len) {
            return Err(fail(format!(
                "the header describes {data_end} bytes of data, but {} follow it: truncated or damaged; \
                 download the file again",
                file_len - data_start
            )));
        }
        let shard = self.shards.len();
        // In the order of their names, so that of several faults the same one is always named.
        for (name, info) in metadata.tensors().into_iter().collect::<BTreeMap<_, _>>() {
            let (start, end) = info.data_offsets;
            let ty = match info.dtype {
                Dtype::F32 => Ok(TensorType::F32),
                Dtype::F16 => Ok(TensorType::F16),
                Dtype::BF16 => Ok(TensorType::BF16),
                other => Err(other.to_string()),
            };
            let tensor = Tensor {
                ty,
                shape: info.shape.clone(),
                shard,
                offset: data_start + start as u64,
                len: (end - start) as u64,
            };
            if let Some(other) = self.tensors.get(&name) {
                let first = &self.shards[other.shard].path;
                let found = format!("it in {} too", first.display());
                return Err(ConvertError::tensor(&path, &name, "it in one shard", found));
            }
            self.tensors.insert(name, tensor);
        }
        self.shards.push(Shard { path, file });
        Ok(())
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The shards' paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.shards.iter().map(|s| s.path.as_path())
    }

    /// Names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor by name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// What a tensor of this checkpoint is called.
    pub fn name_of(&self, tensor: &Tensor) -> Option<&str> {
        self.tensors.iter().find(|(_, t)| std::ptr::eq(*t, tensor)).map(|(name, _)| name.as_str())
    }

    /// The file that holds a tensor of this checkpoint.
    pub fn path_of(&self, tensor: &Tensor) -> &Path {
        &self.shards[tensor.shard].path
    }

    /// A tensor that must be there, of this shape and a float type.
    ///
    /// # Errors
    /// It is missing, of another shape or of another type.
    pub fn require(&self, name: &str, shape: &[usize]) -> Result<(&Tensor, TensorType)> {
        let Some(tensor) = self.tensors.get(name) else {
            return Err(ConvertError::tensor(&self.dir, name, format!("shape {shape:?}"), "no such tensor"));
        };
        let path = self.path_of(tensor);
        if tensor.shape != shape {
            let (expected, found) = (format!("shape {shape:?}"), format!("{:?}", tensor.shape));
            return Err(ConvertError::tensor(path, name, expected, found));
        }
        match &tensor.ty {
            Ok(ty) => Ok((tensor, *ty)),
            Err(found) => Err(ConvertError::tensor(path, name, "type F32, F16 or BF16", found.as_str())),
        }
    }

    /// Reads bytes of a tensor's data from `offset` on.
    ///
    /// # Errors
    /// The file has shrunk meanwhile, or cannot be read.
    pub fn read_at(&self, tensor: &Tensor, offset: u64, out: &mut [u8]) -> Result<()> {
        assert!(offset + out.len() as u64 <= tensor.len, "read within the tensor");
        let shard = &self.shards[tensor.shard];
        read_exact_at(&shard.file, out, tensor.offset + offset).map_err(ConvertError::io("read", &shard.path))
    }
}

#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}
