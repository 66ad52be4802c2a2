//! The bytes of a file: mapped, or held in memory.

use crate::{Error, Result, system};
use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;

/// A whole file, read-only.
pub(super) enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    /// Maps a file. Nothing is read until it is touched; the pages stay the kernel's to drop. WebAssembly has no maps:
    /// there, the file is read.
    pub(super) fn map(path: &Path) -> Result<Bytes> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        if file.metadata().map_err(Error::io("open", path))?.is_dir() {
            return Err(Error::io("open", path)(io::ErrorKind::IsADirectory.into()));
        }
        if !system::MAPS {
            return std::fs::read(path).map(Bytes::Owned).map_err(Error::io("read", path));
        }
        // SAFETY: the map is private to this struct, read-only, and lives as long as every slice
        // borrowed from it. What no process can rule out is that another one changes the file:
        // - shortened, touching the lost pages raises SIGBUS, which ends the process: no memory
        //   is corrupted. Whoever replaces a model should rename a new file onto it, as our writer
        //   does; the map then keeps the old one.
        // - overwritten in place, values change under us. Nothing that memory safety depends on is
        //   taken from the map a second time: offsets and lengths are copied out once, at open,
        //   and lazily decoded strings and arrays are checked again whenever they are read. Weights
        //   are plain numbers, valid in every bit pattern.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?;
        system::map_large_pages(&map);
        Ok(Bytes::Mapped(map))
    }

    /// Reads a range ahead of its use, and returns when it is there or, where the system cannot say so, is asked for.
    pub(super) fn read_ahead(&self, range: Range<usize>) {
        if let Bytes::Mapped(map) = self {
            system::read_ahead(map, range);
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}
