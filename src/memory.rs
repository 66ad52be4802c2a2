//! How much memory there is.

/// Bytes that the system could give to this process, cached files among them, where it tells: on Linux and Android.
pub fn memory_available() -> Option<u64> {
    let limit = || std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse::<u64>().ok();
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some((kib << 10).min(limit().unwrap_or(u64::MAX)))
}
