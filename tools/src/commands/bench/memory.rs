//! The most memory that a process held, its part of mapped files included, where the system tells it (Linux).

use crate::system::peak_bytes;
use std::io;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Of this process so far, in bytes.
pub fn own_peak() -> Option<u64> {
    peak_bytes("self")
}

/// Runs a command to its end. Gives its output and the most memory it held, in bytes.
///
/// # Errors
/// The command cannot be started.
pub fn run_and_watch(command: &mut Command) -> io::Result<(Output, Option<u64>)> {
    /// The peak only grows, so looking now and then is enough; what the last moments add goes unseen.
    const INTERVAL: Duration = Duration::from_millis(5);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let process = child.id().to_string();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = None;
            while !ended.load(Ordering::Relaxed) {
                most = most.max(peak_bytes(&process));
                thread::sleep(INTERVAL);
            }
            most
        });
        let output = child.wait_with_output();
        ended.store(true, Ordering::Relaxed);
        let (output, most) = (output?, watch.join().unwrap_or(None));
        // POSIX lets a program that is not there show by this status alone, and emulators of another processor do.
        if output.status.code() == Some(127) && output.stdout.is_empty() && output.stderr.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok((output, most))
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_another_process_is_its_own() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; sleep 0.2; exit 3"]);
        let (output, peak) = run_and_watch(&mut command).unwrap();
        assert_eq!(
            (output.status.code(), &*output.stdout, &*output.stderr),
            (Some(3), &b"out\n"[..], &b"err\n"[..])
        );
        // A shell holds some hundred KiB to some MiB.
        assert!((100 << 10..50 << 20).contains(&peak.unwrap()), "{peak:?}");
        assert!(own_peak().unwrap() > 0);
        let error = run_and_watch(Command::new("sh").args(["-c", "exit 127"])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
