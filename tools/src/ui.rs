//! What commands share in talking to people: progress bars, sizes, counts, tables.
//!
//! Everything here is for stderr (or for text that the caller prints); stdout carries only a command's answer.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

/// A progress bar in bytes on stderr, or an invisible one where stderr is not a terminal.
pub fn byte_bar(total: u64, message: &str) -> ProgressBar {
    bar(total, message, "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
}

/// A progress bar that counts steps on stderr, or an invisible one where stderr is not a terminal.
pub fn step_bar(total: u64, message: &str) -> ProgressBar {
    bar(total, message, "{msg} [{bar:30}] {pos} of {len}, {eta} left")
}

fn bar(total: u64, message: &str, template: &str) -> ProgressBar {
    let target =
        if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(total), target)
        .with_style(style.progress_chars("=> "))
        .with_message(message.to_string())
}

/// Turns true at the first Ctrl-C, for work that has files to remove.
pub fn interrupted() -> Arc<AtomicBool> {
    static FLAG: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| {
        let flag = Arc::new(AtomicBool::new(false));
        let seen = flag.clone();
        // Without a handler Ctrl-C still ends the program; what it leaves is a temporary file.
        let _ = ctrlc::set_handler(move || seen.store(true, Ordering::Relaxed));
        flag
    });
    FLAG.clone()
}

/// Prints a line of the answer on stdout. A reader that has gone away is no error.
pub fn print_line(line: &dyn Display) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// `1.23 GiB`, `456 MiB`, `789 bytes`: three significant digits, powers of 1024.
pub fn human_bytes(bytes: u64) -> String {
    match scaled(bytes as f64, 1024.0, &["bytes", "KiB", "MiB", "GiB", "TiB"]) {
        (_, "bytes") => format!("{bytes} bytes"),
        (digits, unit) => format!("{digits} {unit}"),
    }
}

/// `354 M`, `1.17 B`, `42`: three significant digits, powers of 1000.
pub fn human_count(count: u64) -> String {
    match scaled(count as f64, 1000.0, &["", "K", "M", "B", "T"]) {
        (_, "") => count.to_string(),
        (digits, unit) => format!("{digits} {unit}"),
    }
}

fn scaled<'a>(mut value: f64, base: f64, units: &[&'a str]) -> (String, &'a str) {
    let mut unit = 0;
    // 999.5 would print as "1000".
    while value >= base.min(999.5) && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    (format!("{value:.decimals$}"), units[unit])
}

/// Rows as aligned columns, two spaces between them: the first column to the left, the others to the right.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|c| rows.iter().map(|row| row[c].chars().count()).max().unwrap_or(0));
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(c, (cell, w))| if c == 0 { format!("{cell:<w$}") } else { format!("{cell:>w$}") })
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        assert_eq!(human_bytes(0), "0 bytes");
        assert_eq!(human_bytes(999), "999 bytes");
        assert_eq!(human_bytes(1 << 20), "1.00 MiB");
        assert_eq!(human_bytes(1023 << 10), "1.00 MiB");
        assert_eq!(human_bytes(696 << 20), "696 MiB");
        assert_eq!(human_count(354_483_968), "354 M");
        assert_eq!(human_count(1_170_340_608), "1.17 B");
        assert_eq!(human_count(7), "7");
    }

    #[test]
    fn tables_align() {
        let rows = [["type", "n"], ["Q4_0", "120"]].map(|r| r.map(String::from));
        assert_eq!(table(&rows), "type    n\nQ4_0  120\n");
    }
}
