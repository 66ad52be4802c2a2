//! What differs between systems, all of it: elsewhere the standard library and `memmap2` do. tools has its own,
//! `tools/src/system.rs`.
//!
//! Advice does not have to succeed: one that is not taken costs time later, nothing else.

use memmap2::Mmap;
use std::io;
use std::ops::Range;

/// Whether a process may have several threads.
pub(crate) const THREADS: bool = !cfg!(target_family = "wasm");
/// Whether files can be mapped.
pub(crate) const MAPS: bool = !cfg!(target_family = "wasm");

/// Memory that begins as zeros, and whose pages the system gives as they are written.
#[cfg(not(target_family = "wasm"))]
pub(crate) type Zeros = memmap2::MmapMut;
/// Memory that begins as zeros.
#[cfg(target_family = "wasm")]
pub(crate) type Zeros = Vec<u8>;

/// `bytes` zeros.
pub(crate) fn zeros(bytes: usize) -> io::Result<Zeros> {
    #[cfg(not(target_family = "wasm"))]
    return Zeros::map_anon(bytes);
    #[cfg(target_family = "wasm")]
    {
        let mut memory = Vec::new();
        memory.try_reserve_exact(bytes)?;
        memory.resize(bytes, 0);
        Ok(memory)
    }
}

/// Reads a range of a mapped file ahead of its use, and returns when it is there or, where the system cannot say so, is
/// asked for.
pub(crate) fn read_ahead(map: &Mmap, range: Range<usize>) {
    #[cfg(unix)]
    {
        use memmap2::Advice;
        #[cfg(target_os = "linux")]
        if map.advise_range(Advice::PopulateRead, range.start, range.len()).is_ok() {
            return;
        }
        let _ = map.advise_range(Advice::WillNeed, range.start, range.len());
    }
    #[cfg(not(unix))]
    let _ = (map, range);
}

/// Bytes of a large page, on most systems. A file that is written in such pieces, each at a multiple of its size, is in the
/// system's cache in large pages from the beginning, as those are that this library maps and reads from disk.
pub const LARGE_PAGE: usize = 2 << 20;

/// Asks that what is read of a mapped file is kept in large pages. Linux does so on file systems that can (ext4 since 6.16,
/// XFS, btrfs), with what its cache does not hold already; by small pages one thread of a Xeon under a hypervisor
/// reads 11 GB/s, by large ones 18.
pub(crate) fn map_large_pages(map: &Mmap) {
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    #[cfg(not(target_os = "linux"))]
    let _ = map;
}

/// Asks for large pages, or not to get any.
pub(crate) fn want_large_pages(memory: &Zeros, want: bool) {
    #[cfg(target_os = "linux")]
    let _ = memory.advise(match want {
        true => memmap2::Advice::HugePage,
        false => memmap2::Advice::NoHugePage,
    });
    #[cfg(not(target_os = "linux"))]
    let _ = (memory, want);
}

/// Bytes that the system could give to this process, cached files among them, where it tells: on Linux and Android.
pub fn memory_available() -> Option<u64> {
    let limit = || std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse::<u64>().ok();
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some((kib << 10).min(limit().unwrap_or(u64::MAX)))
}
