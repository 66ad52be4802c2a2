//! What differs between systems, all of it: elsewhere the standard library and `memmap2` do. tools has its own,
//! `tools/src/system.rs`.
//!
//! Nothing here has to succeed: an advice that is not taken costs time later, nothing else.

use memmap2::{Mmap, MmapMut};
use std::ops::Range;

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

/// Asks for large pages, or not to get any.
pub(crate) fn want_large_pages(memory: &MmapMut, want: bool) {
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
