//! `brooklet bench`: measure prompt and generation speed, counted as llama-bench counts them.

use crate::gguf_info::file_type;
use crate::model_args::{KvType, ModelArgs, parse_positive, parse_threads};
use crate::terminal::{print_json, printable};
use crate::ui::{human_bytes, human_count, step_bar};
use anyhow::{Result, ensure};
use brooklet::{Model, Session};
use indicatif::ProgressBar;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `brooklet bench`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "pp512 is the speed of taking a prompt of 512 tokens at once, tg128 that of generating 128 tokens \
                  one by one, both in tokens a second, mean ± standard deviation over the repetitions; @ d4096 \
                  starts with 4096 tokens already in the context. Every combination of the lists is measured, \
                  after a run to warm up; 0 leaves a measurement out.\n\n\
                  Examples:\n  brooklet bench -m model.gguf\n  \
                  brooklet bench -m model.gguf -p 0 -n 64 -d 0,4096 -t 1,2 --json"
)]
pub struct Args {
    /// The model: a GGUF file, as `brooklet convert` writes it
    #[arg(short, long, value_name = "FILE")]
    model: PathBuf,
    /// Lengths of the prompt to measure
    #[arg(short = 'p', long, value_name = "N,…", value_delimiter = ',', default_value = "512")]
    n_prompt: Vec<usize>,
    /// Numbers of generated tokens to measure
    #[arg(short = 'n', long, value_name = "N,…", value_delimiter = ',', default_value = "128")]
    n_gen: Vec<usize>,
    /// Tokens in the context beforehand
    #[arg(short = 'd', long, value_name = "N,…", value_delimiter = ',', default_value = "0")]
    n_depth: Vec<usize>,
    /// Threads to compute with [default: one a physical core]
    #[arg(short, long, value_name = "N,…", value_delimiter = ',', value_parser = parse_threads)]
    threads: Vec<usize>,
    /// Repetitions
    #[arg(short, long, value_name = "N", default_value = "5", value_parser = parse_positive)]
    repetitions: usize,
    /// Size of the context [default: what each measurement needs]
    #[arg(short, long, value_name = "N", value_parser = parse_positive)]
    ctx: Option<usize>,
    /// Seed of the random tokens
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// Storage of attention keys and values: f16, f32 (exact, twice the memory) or q8_0 (half the memory)
    #[arg(long, value_name = "TYPE", default_value = "f16", hide_possible_values = true)]
    kv_type: KvType,
    /// Print a JSON array, one object a measurement
    #[arg(long)]
    json: bool,
}

/// One measurement to make: either a prompt or a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Test {
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    /// `None` is the default.
    n_threads: Option<usize>,
}

impl Test {
    /// Tokens the time is for.
    fn tokens(&self) -> usize {
        self.n_prompt + self.n_gen
    }

    /// Positions it takes.
    fn context(&self) -> usize {
        self.tokens().saturating_add(self.n_depth)
    }

    /// llama-bench's name: `pp512`, `tg128 @ d4096`.
    fn name(&self) -> String {
        let name =
            if self.n_prompt > 0 { format!("pp{}", self.n_prompt) } else { format!("tg{}", self.n_gen) };
        if self.n_depth > 0 { format!("{name} @ d{}", self.n_depth) } else { name }
    }
}

/// One measurement, with llama-bench's field names and a few more.
#[derive(Debug, serde::Serialize)]
struct Measured {
    model_filename: String,
    model_type: String,
    /// Bytes of all tensors.
    model_size: u64,
    model_n_params: u64,
    isa: &'static str,
    n_threads: usize,
    type_k: String,
    type_v: String,
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    avg_ns: u64,
    stddev_ns: u64,
    avg_ts: f64,
    stddev_ts: f64,
    samples_ns: Vec<u64>,
    samples_ts: Vec<f64>,
    /// The most memory the process held so far, in bytes, mapped file included.
    peak_rss: Option<u64>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let tests = tests(&args);
    if tests.is_empty() {
        let message = "nothing to measure: -p and -n are both 0\n";
        return Err(clap::Error::raw(clap::error::ErrorKind::ValueValidation, message).into());
    }
    let base = ModelArgs {
        model: args.model.clone(),
        threads: None,
        ctx: args.ctx,
        seed: Some(args.seed),
        kv_type: args.kv_type,
    };
    let model = base.open()?;
    let name = model_type(&model);
    let runs = tests.len() * (args.repetitions + 1);
    let bar = step_bar(runs as u64, "Measuring");
    let mut table = Table::new(name.chars().count());
    // A test that does not fit its context is an error before minutes of measuring, not after.
    if let Some(largest) = tests.iter().max_by_key(|t| t.context()) {
        let ctx = args.ctx.or(Some(largest.context()));
        let session = ModelArgs { ctx, model: args.model.clone(), ..base }.session(&model)?;
        let (needed, context) = (largest.context(), session.context());
        ensure!(needed <= context, "{} needs a context of {needed}, -c says {context}", largest.name());
    }
    if !args.json {
        bar.suspend(|| table.header())?;
    }
    let mut all = Vec::new();
    for test in tests {
        let ctx = args.ctx.or(Some(test.context()));
        let options = ModelArgs { threads: test.n_threads, ctx, model: args.model.clone(), ..base };
        let mut session = options.session(&model)?;
        bar.set_message(format!("Measuring {}", test.name()));
        let samples_ns = measure(&mut session, test, args.repetitions, args.seed, &bar)?;
        let samples_ts: Vec<f64> =
            samples_ns.iter().map(|ns| test.tokens() as f64 * 1e9 / (*ns).max(1) as f64).collect();
        let as_float: Vec<f64> = samples_ns.iter().map(|ns| *ns as f64).collect();
        let measured = Measured {
            model_filename: args.model.display().to_string(),
            model_type: name.clone(),
            model_size: model.size_bytes(),
            model_n_params: model.n_params(),
            isa: model.kernels().name,
            n_threads: session.threads(),
            type_k: session_kv(args.kv_type),
            type_v: session_kv(args.kv_type),
            n_prompt: test.n_prompt,
            n_gen: test.n_gen,
            n_depth: test.n_depth,
            avg_ns: mean(&as_float) as u64,
            stddev_ns: stddev(&as_float) as u64,
            avg_ts: mean(&samples_ts),
            stddev_ts: stddev(&samples_ts),
            samples_ns,
            samples_ts,
            peak_rss: peak_rss(),
        };
        if !args.json {
            bar.suspend(|| table.row(&measured, &test.name()))?;
        }
        all.push(measured);
    }
    bar.finish_and_clear();
    if args.json {
        return print_json(&all);
    }
    let mut out = io::stdout().lock();
    write!(out, "\n{} kernels, {} keys and values", model.kernels().name, session_kv(args.kv_type))?;
    if let Some(bytes) = peak_rss() {
        write!(out, ", {} of memory at most (mapped file included)", human_bytes(bytes))?;
    }
    writeln!(out)?;
    Ok(out.flush()?)
}

/// The measurements in llama-bench's order: prompts before generations within a depth within a thread count.
fn tests(args: &Args) -> Vec<Test> {
    let threads: Vec<Option<usize>> =
        if args.threads.is_empty() { vec![None] } else { args.threads.iter().copied().map(Some).collect() };
    let mut tests = Vec::new();
    for &n_threads in &threads {
        for &n_depth in &args.n_depth {
            let prompts = args.n_prompt.iter().map(|n| (*n, 0));
            let generations = args.n_gen.iter().map(|n| (0, *n));
            for (n_prompt, n_gen) in prompts.chain(generations).filter(|t| *t != (0, 0)) {
                tests.push(Test { n_prompt, n_gen, n_depth, n_threads });
            }
        }
    }
    tests
}

/// Nanoseconds of each repetition. Only the prompt or the generation itself is timed: neither warming
/// up, nor filling the context to the depth, nor going back to it.
fn measure(
    session: &mut Session,
    test: Test,
    repetitions: usize,
    seed: u64,
    bar: &ProgressBar,
) -> Result<Vec<u64>> {
    let vocab_size = session.model().config().vocab_size as u64;
    let mut rng = Pcg32::seed_from_u64(seed);
    let mut random = |n: usize| -> Vec<u32> {
        (0..n).map(|_| ((u64::from(rng.next_u32()) * vocab_size) >> 32) as u32).collect()
    };

    if test.n_prompt > 0 {
        session.prefill(&random(test.n_prompt))?;
    } else {
        session.decode(random(1)[0])?;
    }
    session.reset();
    if test.n_depth > 0 {
        session.prefill(&random(test.n_depth))?;
    }
    bar.inc(1);
    (0..repetitions)
        .map(|_| {
            session.rollback(test.n_depth)?;
            let ids = random(test.tokens());
            let started = Instant::now();
            if test.n_prompt > 0 {
                session.prefill(&ids)?;
            } else {
                for id in ids {
                    session.decode(id)?;
                }
            }
            let elapsed = started.elapsed();
            bar.inc(1);
            Ok(u64::try_from(elapsed.as_nanos())?)
        })
        .collect()
}

/// The table for people, in Markdown; rows appear as they are measured.
struct Table {
    widths: [usize; 6],
}

impl Table {
    fn new(name_width: usize) -> Self {
        Table { widths: [name_width.max(5), 9, 7, 7, 14, 18] }
    }

    fn header(&mut self) -> Result<()> {
        self.line(["model", "size", "params", "threads", "test", "t/s"].map(String::from))?;
        let rules = self.widths.map(|w| format!("{}:", "-".repeat(w - 1)));
        self.line([
            "-".repeat(self.widths[0]),
            rules[1].clone(),
            rules[2].clone(),
            rules[3].clone(),
            rules[4].clone(),
            rules[5].clone(),
        ])
    }

    fn row(&mut self, m: &Measured, test: &str) -> Result<()> {
        self.line([
            m.model_type.clone(),
            human_bytes(m.model_size),
            human_count(m.model_n_params),
            m.n_threads.to_string(),
            test.into(),
            format!("{:.2} ± {:.2}", m.avg_ts, m.stddev_ts),
        ])
    }

    fn line(&self, cells: [String; 6]) -> Result<()> {
        let mut out = io::stdout().lock();
        for (c, (cell, width)) in cells.iter().zip(self.widths).enumerate() {
            if c == 0 {
                write!(out, "| {cell:<width$} |")?;
            } else {
                write!(out, " {cell:>width$} |")?;
            }
        }
        writeln!(out)?;
        Ok(out.flush()?)
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

fn session_kv(kv: KvType) -> String {
    brooklet_kernels::TensorType::from(kv).name().to_lowercase()
}

fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

/// The sample standard deviation; 0 of a single sample.
fn stddev(samples: &[f64]) -> f64 {
    if samples.len() < 2 {
        return 0.0;
    }
    let mean = mean(samples);
    (samples.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (samples.len() - 1) as f64).sqrt()
}

/// The most memory this process held, in bytes, where the system tells it.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_that_of_a_sample() {
        assert_eq!(mean(&[1.0, 3.0]), 2.0);
        assert_eq!(stddev(&[1.0, 3.0]), 2f64.sqrt());
        assert_eq!(stddev(&[5.0]), 0.0);
    }

    #[test]
    fn tests_are_named_as_llama_bench_does() {
        let test = |n_prompt, n_gen, n_depth| Test { n_prompt, n_gen, n_depth, n_threads: None }.name();
        assert_eq!(test(512, 0, 0), "pp512");
        assert_eq!(test(0, 128, 4096), "tg128 @ d4096");
    }
}
