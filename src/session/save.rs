//! Saved sessions: a header that names model and KV type, the tokens, the last logits, then each
//! layer's memory. All little-endian.

use super::{Session, SessionError};
use crate::error::Error;
use crate::model::{LayerState, State};
use crate::temporary::Temporary;
use crate::{Model, Result};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

const MAGIC: &[u8; 8] = b"brkses02";

/// Magic, model fingerprint, KV type, number of tokens.
const HEADER: usize = 8 + 8 + 4 + 4;

pub fn save(session: &Session, path: &Path) -> Result<()> {
    let mut temporary = Temporary::create(path)?;
    let out = &mut temporary.file;
    let mut write = || -> std::io::Result<()> {
        out.write_all(MAGIC)?;
        out.write_all(&fingerprint(&session.model).to_le_bytes())?;
        out.write_all(&session.kv_layout.ty().id().to_le_bytes())?;
        out.write_all(&(session.tokens.len() as u32).to_le_bytes())?;
        out.write_all(bytemuck::cast_slice(&session.tokens))?;
        out.write_all(bytemuck::cast_slice(&session.logits))?;
        for layer in &session.state.layers {
            match layer {
                LayerState::ShortConv(columns) => out.write_all(bytemuck::cast_slice(columns))?,
                LayerState::Attention(kv) => {
                    kv.blocks().try_for_each(|blocks| out.write_all(blocks))?;
                }
            }
        }
        Ok(())
    };
    write().map_err(Error::io("write", path))?;
    temporary.persist()
}

pub fn load(session: &mut Session, path: &Path) -> Result<()> {
    let wrong = |expected: String, found: String| {
        Error::from(SessionError::Saved { path: path.display().to_string(), expected, found })
    };
    let file = File::open(path).map_err(Error::io("open", path))?;
    let len = file.metadata().map_err(Error::io("read", path))?.len();
    let mut file = BufReader::new(file);
    let mut header = [0; HEADER];
    if len < HEADER as u64 {
        return Err(wrong(format!("at least {HEADER} bytes"), format!("{len} bytes")));
    }
    file.read_exact(&mut header).map_err(Error::io("read", path))?;
    let u32_at = |i: usize| u32::from_le_bytes(std::array::from_fn(|j| header[i + j]));
    if &header[..8] != MAGIC {
        return Err(wrong("a session saved by this version".into(), "something else".into()));
    }
    if header[8..16] != fingerprint(&session.model).to_le_bytes() {
        return Err(wrong("a session of this model".into(), "one of another model".into()));
    }
    if u32_at(16) != session.kv_layout.ty().id() {
        let found = brooklet_kernels::TensorType::from_id(u32_at(16))
            .map_or("an unknown type".into(), |t| format!("{t}"));
        return Err(wrong(format!("keys and values as {}", session.kv_layout.ty()), found));
    }
    let n = u32_at(20) as usize;
    if n > session.context {
        return Err(wrong(format!("at most {} tokens, the context", session.context), format!("{n}")));
    }

    let config = session.model.config();
    let mut state = State::new(config, session.kv_layout, session.context, !session.low_memory)
        .map_err(|e| SessionError::Resources { context: session.context, reason: e.to_string() })?;
    let mut tokens = vec![0u32; n];
    let mut logits = vec![0f32; config.vocab_size];
    let mut parts: Vec<&mut [u8]> =
        vec![bytemuck::cast_slice_mut(&mut tokens), bytemuck::cast_slice_mut(&mut logits)];
    for layer in &mut state.layers {
        match layer {
            LayerState::ShortConv(columns) => parts.push(bytemuck::cast_slice_mut(columns)),
            LayerState::Attention(kv) => parts.extend(kv.resized(n)),
        }
    }
    let expected = HEADER + parts.iter().map(|p| p.len()).sum::<usize>();
    if expected as u64 != len {
        return Err(wrong(format!("{expected} bytes"), format!("{len} bytes")));
    }
    for part in parts {
        file.read_exact(part).map_err(Error::io("read", path))?;
    }
    if let Some(id) = tokens.iter().find(|id| **id as usize >= config.vocab_size) {
        return Err(wrong(format!("ids below {}", config.vocab_size), id.to_string()));
    }
    session.state = state;
    session.tokens.clear();
    session.tokens.extend_from_slice(&tokens);
    session.logits = logits;
    Ok(())
}

/// Tells models apart: FNV-1a over the tensor index (names, types, shapes, offsets) and a sample of each
/// tensor's data.
fn fingerprint(model: &Model) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut eat = |bytes: &[u8]| {
        for b in bytes {
            hash = (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    eat(format!("{:?}", model.config()).as_bytes());
    for info in model.gguf().tensors() {
        eat(info.name.as_bytes());
        eat(&info.ty.id().to_le_bytes());
        let data = model.gguf().data(info);
        eat(&data[..data.len().min(64)]);
    }
    hash
}
