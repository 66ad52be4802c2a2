//! What was measured: as JSON with llama-bench's field names and more, and as tables in Markdown.

use super::first_token::{FirstToken, PROMPT_TOKENS};
use super::limits::{LEAST_FILE, Limits, Rate, Work};
use super::stats::{Figure, mean, stddev};
use super::test::{Test, kv_name};
use crate::gguf_info::file_type;
use crate::terminal::printable;
use crate::threads::processor;
use crate::ui::{human_bytes, human_count};
use anyhow::Result;
use brooklet::Model;
use brooklet_kernels::TensorType;
use std::io::{self, Write};

/// The model, as every measurement names it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Subject {
    pub cpu_info: String,
    /// Processes that wanted to run in the minute before, where the system tells it.
    pub load_average: Option<f64>,
    pub model_filename: String,
    pub model_type: String,
    /// Bytes of all tensors.
    pub model_size: u64,
    pub model_n_params: u64,
    pub isa: &'static str,
    pub type_k: String,
    pub type_v: String,
}

impl Subject {
    pub fn of(model: &Model, filename: &std::path::Path, kv: TensorType) -> Subject {
        Subject {
            cpu_info: processor(),
            load_average: crate::system::load_average(),
            model_filename: filename.display().to_string(),
            model_type: model_type(model),
            model_size: model.size_bytes(),
            model_n_params: model.n_params(),
            isa: model.kernels().name,
            type_k: kv_name(kv),
            type_v: kv_name(kv),
        }
    }

    /// One line: `lfm2 350M Q4_0, 207 MiB, 354 M parameters, avx2 kernels, f16 keys and values, AMD EPYC`.
    pub fn line(&self) -> String {
        format!(
            "{}, {}, {} parameters, {} kernels, {} keys and values, {}",
            self.model_type,
            human_bytes(self.model_size),
            human_count(self.model_n_params),
            self.isa,
            self.type_k,
            printable(&self.cpu_info),
        )
    }
}

/// Architecture, size and quantization, as llama-bench names models: `lfm2 350M Q4_0`.
fn model_type(model: &Model) -> String {
    let gguf = model.gguf();
    let text = |key| gguf.get_str(key).ok().flatten();
    let size = text("general.size_label").map_or_else(|| human_count(model.n_params()), str::to_string);
    let parts = [
        text("general.architecture").unwrap_or_default().to_string(),
        size,
        file_type(gguf).unwrap_or_default(),
    ];
    printable(parts.join(" ").trim())
}

/// Times of a test with the figures made of them, ours or the peer's.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Speed {
    pub avg_ns: u64,
    pub stddev_ns: u64,
    pub avg_ts: f64,
    pub stddev_ts: f64,
    pub samples_ns: Vec<u64>,
    pub samples_ts: Vec<f64>,
    pub median_ts: f64,
    /// The median distance from the median.
    pub spread_ts: f64,
    /// Multiply-adds (prompts) or bytes (generation) a second.
    pub work_per_s: f64,
    /// The fraction of what the machine can do; `null` where that was not measured.
    pub of_limit: Option<f64>,
    /// The most memory the process held, in bytes, its part of the mapped file included.
    pub peak_rss: Option<u64>,
    #[serde(skip)]
    pub rate: Rate,
}

impl Speed {
    fn of(
        test: &Test,
        samples_ns: Vec<u64>,
        work: &Work,
        limits: Option<&Limits>,
        peak_rss: Option<u64>,
    ) -> Speed {
        let samples_ts: Vec<f64> = samples_ns.iter().map(|ns| test.speed(*ns)).collect();
        let as_float: Vec<f64> = samples_ns.iter().map(|ns| *ns as f64).collect();
        let figure = Figure::of(&samples_ts);
        let rate = work.rate(test, figure.median, limits);
        Speed {
            avg_ns: mean(&as_float) as u64,
            stddev_ns: stddev(&as_float) as u64,
            avg_ts: mean(&samples_ts),
            stddev_ts: stddev(&samples_ts),
            samples_ns,
            samples_ts,
            median_ts: figure.median,
            spread_ts: figure.spread,
            work_per_s: rate.a_second,
            of_limit: rate.of_most(),
            peak_rss,
            rate,
        }
    }

    pub fn figure(&self) -> Figure {
        Figure { median: self.median_ts, spread: self.spread_ts }
    }

    /// `180.1 GMAC/s, 55 %`.
    fn work(&self) -> String {
        let of = self.of_limit.map_or_else(String::new, |of| format!(", {:.0} %", 100.0 * of));
        format!("{:.1} {}{of}", self.rate.a_second / 1e9, self.rate.unit)
    }
}

/// The peer's part of a measurement.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PeerMeasured {
    pub build: String,
    pub flash_attn: bool,
    #[serde(flatten)]
    pub speed: Speed,
    /// Of the pairs of repetitions: ours over the peer's.
    pub ratio: Figure,
}

/// One measurement.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Measured {
    #[serde(flatten)]
    pub subject: Subject,
    pub n_threads: usize,
    pub n_prompt: usize,
    pub n_gen: usize,
    pub n_depth: usize,
    pub n_parallel: usize,
    #[serde(flatten)]
    pub speed: Speed,
    /// Multiply-adds a token of a prompt takes with the layers' matrices.
    pub macs_per_token: u64,
    /// Bytes of weights, and of keys and values up to the depth, that a generated token reads.
    pub bytes_per_token: u64,
    pub limits: Option<Limits>,
    pub first_token_s: Option<FirstToken>,
    pub peer: Option<PeerMeasured>,
    #[serde(skip)]
    pub test: Test,
}

/// What was taken down for one test.
pub struct Taken {
    pub test: Test,
    pub n_threads: usize,
    pub own_ns: Vec<u64>,
    pub own_peak: Option<u64>,
    pub limits: Vec<Limits>,
    pub first_token: Option<FirstToken>,
    /// With its times, in the same order as ours.
    pub peer: Option<(super::peer::Setup, Vec<u64>)>,
}

impl Measured {
    pub fn of(subject: &Subject, work: &Work, taken: Taken) -> Measured {
        let test = taken.test;
        let limits = Limits::median(&taken.limits);
        let speed = Speed::of(&test, taken.own_ns, work, limits.as_ref(), taken.own_peak);
        let peer = taken.peer.map(|(setup, ns)| {
            let peer = Speed::of(&test, ns, work, limits.as_ref(), setup.peak_rss);
            PeerMeasured {
                build: setup.build,
                flash_attn: setup.flash_attn,
                ratio: Figure::of_ratios(&speed.samples_ts, &peer.samples_ts),
                speed: peer,
            }
        });
        Measured {
            subject: subject.clone(),
            n_threads: taken.n_threads,
            n_prompt: test.n_prompt,
            n_gen: test.n_gen,
            n_depth: test.n_depth,
            n_parallel: test.n_parallel,
            speed,
            macs_per_token: work.macs,
            bytes_per_token: work.bytes(test.n_depth, test.n_parallel),
            limits,
            first_token_s: taken.first_token,
            peer,
            test,
        }
    }
}

/// A Markdown table whose rows appear as they are known.
struct Table(Vec<(&'static str, usize)>);

impl Table {
    /// Prints the head. Columns are wide enough for what is to come, the first to the left.
    fn start(columns: &[(&'static str, usize)]) -> Result<Table> {
        let table = Table(columns.iter().map(|(name, w)| (*name, (*w).max(name.chars().count()))).collect());
        table.row(table.0.iter().map(|(name, _)| name.to_string()).collect())?;
        let rule = |(c, (_, w)): (usize, &(_, usize))| match c {
            0 => "-".repeat(*w),
            _ => format!("{}:", "-".repeat(w - 1)),
        };
        table.row(table.0.iter().enumerate().map(rule).collect())?;
        Ok(table)
    }

    fn row(&self, cells: Vec<String>) -> Result<()> {
        let mut out = io::stdout().lock();
        for (c, (cell, (_, width))) in cells.iter().zip(&self.0).enumerate() {
            match c {
                0 => write!(out, "| {cell:<width$} |")?,
                _ => write!(out, " {cell:>width$} |")?,
            }
        }
        writeln!(out)?;
        Ok(out.flush()?)
    }
}

/// The first table: speeds, one row a test, printed as they come.
pub struct Speeds<'a> {
    subject: &'a Subject,
    peer: bool,
    /// Started by the first row, so that an error before it leaves nothing on standard output.
    table: Option<Table>,
}

impl Speeds<'_> {
    pub fn new(subject: &Subject, peer: bool) -> Speeds<'_> {
        Speeds { subject, peer, table: None }
    }

    pub fn row(&mut self, m: &Measured) -> Result<()> {
        let mut cells = vec![m.test.name(), m.n_threads.to_string(), m.speed.figure().to_string()];
        if self.peer {
            let of = |f: fn(&PeerMeasured) -> Figure| m.peer.as_ref().map(|p| f(p).to_string());
            cells.extend([of(|p| p.speed.figure()), of(|p| p.ratio)].map(Option::unwrap_or_default));
        }
        let table = match self.table.take() {
            Some(table) => table,
            None => self.start()?,
        };
        self.table.insert(table).row(cells)
    }

    fn start(&self) -> Result<Table> {
        writeln!(io::stdout(), "{}\n", self.subject.line())?;
        let mut columns = vec![("test", 14), ("threads", 7)];
        columns.extend(match self.peer {
            true => &[("brooklet t/s", 14), ("llama.cpp t/s", 14), ("ratio", 11)][..],
            false => &[("t/s", 14)],
        });
        Table::start(&columns)
    }
}

/// What is to be said at the end: the work done against the machine's limits, memory, time to the first token.
pub fn print_rest(all: &[Measured], file_len: usize) -> Result<()> {
    writeln!(io::stdout())?;
    let memory = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".into(), human_bytes);
    let with_peer = all.iter().any(|m| m.peer.is_some());
    let mut columns = vec![("test", 14), ("threads", 7)];
    columns.extend(match with_peer {
        true => &[
            ("brooklet", 18),
            ("llama.cpp", 18),
            ("the machine", 12),
            ("brooklet's memory", 8),
            ("llama.cpp's", 8),
        ][..],
        false => &[("work", 18), ("the machine", 12), ("memory", 8)],
    });
    let table = Table::start(&columns)?;
    for m in all {
        let most = m.speed.rate.most;
        let most = most.map_or_else(|| "–".into(), |most| format!("{:.1} {}", most / 1e9, m.speed.rate.unit));
        let mut cells = vec![m.test.name(), m.n_threads.to_string(), m.speed.work()];
        match &m.peer {
            Some(peer) => {
                cells.extend([peer.speed.work(), most, memory(m.speed.peak_rss), memory(peer.speed.peak_rss)])
            }
            None => cells.extend([most, memory(m.speed.peak_rss)]),
        }
        table.row(cells)?;
    }
    notes(all, file_len)
}

fn notes(all: &[Measured], file_len: usize) -> Result<()> {
    let mut out = io::stdout().lock();
    let mut seen = Vec::new();
    for m in all.iter().filter(|m| m.limits.is_some() || m.first_token_s.is_some()) {
        if seen.contains(&m.n_threads) {
            continue;
        }
        if seen.is_empty() {
            writeln!(out)?;
        }
        seen.push(m.n_threads);
        let threads = match m.n_threads {
            1 => "1 thread".to_string(),
            n => format!("{n} threads"),
        };
        if let Some(limits) = &m.limits {
            let giga = |rate: Option<f64>| rate.map_or("unknown".into(), |r| format!("{:.1}", r / 1e9));
            writeln!(
                out,
                "The machine on {threads}: reads {} GB/s, {} GMAC/s of small integers, {} GMAC/s of f32.",
                giga(Some(limits.read_bytes_per_s)),
                giga(limits.integer_macs_per_s),
                giga(limits.float_macs_per_s),
            )?;
        }
        if let Some(first) = &m.first_token_s {
            let ms = |f: Figure| Figure { median: 1e3 * f.median, spread: 1e3 * f.spread };
            write!(
                out,
                "From start to first token of a {PROMPT_TOKENS}-token prompt on {threads}: brooklet {} ms",
                ms(first.own)
            )?;
            match first.peer {
                Some(peer) => writeln!(out, ", llama.cpp {} ms.", ms(peer))?,
                None => writeln!(out, ".")?,
            }
        }
    }
    let setups: Vec<String> = all
        .iter()
        .filter_map(|m| {
            let flash = if m.peer.as_ref()?.flash_attn { "on" } else { "off" };
            Some(format!("{} on {}: {flash}", m.test.name(), m.n_threads))
        })
        .collect();
    if let Some(peer) = all.iter().find_map(|m| m.peer.as_ref()) {
        writeln!(out, "llama.cpp {}; its flash attention, as is faster: {}.", peer.build, setups.join("; "))?;
    }
    if let Some(load) = all.iter().find_map(|m| m.subject.load_average.filter(|load| *load > 0.5)) {
        writeln!(out, "The machine was not idle: its load average was {load:.1} at the start.")?;
    }
    if file_len < LEAST_FILE && all.iter().any(|m| m.limits.is_some()) {
        writeln!(
            out,
            "The file has only {}: caches may hold it, and then reads are not those of memory. Use one of {} or more.",
            human_bytes(file_len as u64),
            human_bytes(LEAST_FILE as u64),
        )?;
    }
    Ok(out.flush()?)
}
