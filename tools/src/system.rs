//! What differs between systems, all of it: elsewhere the standard library does. The library has its own, `src/system.rs`.
//!
//! What a system does not tell is `None`.

use std::fs::File;
use std::io;

/// Bytes of this process that are in RAM.
pub fn resident_bytes() -> Option<u64> {
    kib(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The most bytes that a process had in RAM; `self` is this one.
pub fn peak_bytes(process: &str) -> Option<u64> {
    kib(&std::fs::read_to_string(format!("/proc/{process}/status")).ok()?, "VmHWM:")
}

/// The line of this name, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Processes that ran or waited to run, on average over the last minute.
pub fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The processor's name.
pub fn processor() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let field = |name: &str| {
        let value = info.lines().find_map(|l| l.strip_prefix(name)?.trim_start().strip_prefix(':'));
        value.map(|v| v.trim().to_string())
    };
    // ARM systems name no model of a processor; some name the board.
    field("model name").or_else(|| field("Model"))
}

/// Fills `out` with the file's bytes from `offset` on; threads may read at once.
///
/// # Errors
/// The system's; the file ends before.
#[cfg(unix)]
pub fn read_exact_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

/// Fills `out` with the file's bytes from `offset` on; threads may read at once.
///
/// # Errors
/// The system's; the file ends before.
#[cfg(windows)]
pub fn read_exact_at(file: &File, mut out: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => (out, offset) = (&mut out[n..], offset + n as u64),
        }
    }
    Ok(())
}

/// Lets the directory be made as mkdir makes one; tempfile's own default is for its owner only.
pub fn for_everyone<'a, 'b, 'c>(
    builder: &'a mut tempfile::Builder<'b, 'c>,
) -> &'a mut tempfile::Builder<'b, 'c> {
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder
}
