//! `brooklet bench`: measure prompt and generation speed, counted as llama-bench counts them, against the
//! machine's limits and, if wanted, against llama-bench itself.

mod first_token;
mod limits;
mod memory;
mod own;
mod peer;
mod plot;
mod report;
mod stats;
mod test;
mod tune;

use self::limits::{Limits, Work};
use self::own::Own;
use self::peer::Peer;
use self::report::{Measured, Speeds, Subject, Taken};
use self::test::{Test, combinations};
use crate::hub;
use crate::model_args::{MemoryArgs, open_model, parse_model, parse_positive, parse_threads, parse_up_to};
use crate::terminal::print_json;
use crate::threads::stored;
use crate::ui::step_bar;
use anyhow::{Context, Result, ensure};
use brooklet::{Model, SessionOptions};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Arguments of `brooklet bench`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "pp512 is the speed of taking a prompt of 512 tokens at once, tg128 that of generating 128 tokens \
                  one by one, both in tokens a second, median ± median distance from it over the repetitions; \
                  @ d4096 starts with 4096 tokens already in the context. Every combination of the lists is \
                  measured, after a run to warm up; 0 leaves a measurement out. The second table says how much \
                  of the machine that takes: multiply-adds a second of a prompt, bytes of weights a second of a \
                  generation, each beside the most that the machine did in a loop of nothing else.\n\n\
                  Examples:\n  brooklet bench -m model.gguf\n  \
                  brooklet bench -m model.gguf -p 0 -n 64 -d 0,4096 -t 1,2 --json\n  \
                  brooklet bench -m model.gguf -p 0 --parallel 1,2,4,8\n  \
                  brooklet bench -m model.gguf --vs llama.cpp/build/bin/llama-bench --plot speed.svg\n  \
                  brooklet bench -m model.gguf --tune"
)]
pub struct Args {
    /// The model: a GGUF file, as `brooklet convert` writes it, or hf:ORG/REPO:TYPE, as `brooklet pull` fetches it
    #[arg(short, long, value_name = "FILE", value_parser = parse_model)]
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
    /// Numbers of sequences to generate at once, measured together; the speed is that of all
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1", value_parser = parse_parallel)]
    parallel: Vec<usize>,
    /// Threads to compute with [default: what --tune stored, else one a physical core]
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
    #[command(flatten)]
    memory: MemoryArgs,
    /// Measure llama.cpp in turn with brooklet: the path of its llama-bench (for several sequences at once,
    /// llama-batched-bench beside it)
    #[arg(long, value_name = "PROGRAM")]
    vs: Option<PathBuf>,
    /// Draw the measurements into an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Do not measure the machine's limits
    #[arg(long)]
    no_limits: bool,
    /// Find the best numbers of threads and store them for all commands
    #[arg(long, conflicts_with_all = ["vs", "plot", "low_memory", "threads", "n_prompt", "n_gen", "n_depth", "parallel", "ctx"])]
    tune: bool,
    /// Print a JSON array, one object a measurement
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(mut args: Args) -> Result<()> {
    // Other programs are given the file too.
    args.model = hub::local(&args.model)?;
    let model = open_model(&args.model)?;
    if args.tune {
        return tune::tune(&model, args.memory.kv_type(), args.repetitions, args.seed, args.json);
    }
    let threads = thread_counts(&args);
    let tests =
        combinations(&args.n_prompt, &args.n_gen, &args.n_depth, &args.parallel, &threads, model.few());
    // A test that does not fit its context is an error before minutes of measuring, not after.
    let Some(largest) = tests.iter().max_by_key(|t| t.context()) else {
        let message = "nothing to measure: -p and -n are both 0\n";
        return Err(clap::Error::raw(clap::error::ErrorKind::ValueValidation, message).into());
    };
    let bench = Bench::new(&args, model)?;
    let (needed, context) = (largest.context(), bench.context(largest)?);
    ensure!(needed <= context, "{} needs a context of {needed}, -c says {context}", largest.name());
    if let Some(directory) = args.plot.as_ref().and_then(|p| p.parent()).filter(|d| *d != Path::new("")) {
        ensure!(directory.is_dir(), "--plot: there is no directory {}", directory.display());
    }

    let bar = step_bar((tests.len() * args.repetitions) as u64, "Measuring");
    let mut table = Speeds::new(&bench.subject, bench.peer.is_some());
    let mut all: Vec<Measured> = Vec::new();
    for test in tests {
        bar.set_message(format!("Measuring {}", test.name()));
        let measured = bench.measure(test, &all, &bar)?;
        if !args.json {
            bar.suspend(|| table.row(&measured))?;
        }
        all.push(measured);
    }
    bar.finish_and_clear();
    if let Some(path) = &args.plot {
        brooklet::write_whole(path, plot::chart(&all).as_bytes())?;
    }
    if args.json {
        return print_json(&all);
    }
    report::print_rest(&all, bench.model.gguf().file_len())
}

/// The most sequences that are measured at once; each has a context of its own.
const MAX_PARALLEL: usize = 256;

fn parse_parallel(text: &str) -> Result<usize, String> {
    parse_up_to(text, MAX_PARALLEL, "sequences")
}

/// Threads of a prompt and of a generation, for every count asked for.
fn thread_counts(args: &Args) -> Vec<[Option<usize>; 2]> {
    if args.threads.is_empty() {
        let stored = stored();
        return vec![[stored.map(|t| t.prefill), stored.map(|t| t.decode)]];
    }
    args.threads.iter().map(|t| [Some(*t); 2]).collect()
}

/// All that the measurements share.
struct Bench<'a> {
    args: &'a Args,
    model: Arc<Model>,
    subject: Subject,
    work: Work,
    peer: Option<Peer>,
}

impl<'a> Bench<'a> {
    fn new(args: &'a Args, model: Arc<Model>) -> Result<Bench<'a>> {
        let kv = args.memory.kv_type();
        Ok(Bench {
            args,
            subject: Subject::of(&model, &args.model, kv),
            work: Work::of(&model, kv),
            peer: args.vs.as_ref().map(|program| Peer::new(program, &args.model, kv)),
            model,
        })
    }

    fn options(&self, test: &Test) -> SessionOptions {
        SessionOptions {
            context: Some(self.args.ctx.unwrap_or_else(|| test.context())),
            kv_type: self.args.memory.kv_type(),
            threads: test.n_threads,
            decode_threads: None,
            low_memory: self.args.memory.low_memory,
        }
    }

    /// The context that a test gets.
    fn context(&self, test: &Test) -> Result<usize> {
        Ok(brooklet::Session::new(self.model.clone(), self.options(test))?.context())
    }

    /// Measures a test. What was measured before may hold what it shares with it.
    fn measure(&self, test: Test, before: &[Measured], bar: &ProgressBar) -> Result<Measured> {
        let Args { repetitions, .. } = *self.args;
        let mut own = Own::new(&self.model, self.options(&test), test, self.args.seed)?;
        let threads = own.threads();
        let mut peer = match &self.peer {
            Some(peer) => Some((peer, peer.set_up(test, threads)?, Vec::new())),
            None => None,
        };
        let (mut own_ns, mut limits) = (Vec::new(), Vec::new());
        for repetition in 0..repetitions {
            // In turn, the other one first each time: what changes slowly hits both alike.
            let own_first = repetition % 2 == 0;
            if own_first {
                own_ns.push(own.sample()?);
            }
            if let Some((peer, setup, ns)) = &mut peer {
                ns.push(peer.sample(test, threads, setup.flash_attn)?);
            }
            if !own_first {
                own_ns.push(own.sample()?);
            }
            if !self.args.no_limits {
                limits.push(Limits::measure(self.model.gguf(), threads));
            }
            bar.inc(1);
        }
        drop(own);
        let (own_peak, first_token) = match (&self.args.vs, before.iter().find(|m| m.n_threads == threads)) {
            (None, _) => (memory::own_peak(), None),
            (Some(_), Some(same)) => (self.peak(&test, threads)?, same.first_token_s),
            (Some(llama_bench), None) => {
                let first =
                    first_token::measure(&self.model, &self.args.model, llama_bench, threads, repetitions)?;
                (self.peak(&test, threads)?, first)
            }
        };
        let peer = peer.map(|(_, setup, ns)| (setup, ns));
        let taken = Taken { test, n_threads: threads, own_ns, own_peak, limits, first_token, peer };
        Ok(Measured::of(&self.subject, &self.work, taken))
    }

    /// The most memory that a process of ours holds for one test, as the peer's does.
    fn peak(&self, test: &Test, threads: usize) -> Result<Option<u64>> {
        let program = std::env::current_exe().context("cannot find this program to start it again")?;
        let mut command = Command::new(program);
        command.args(["bench", "--json", "--no-limits", "-r", "1", "-m"]).arg(&self.args.model);
        command.args(["--kv-type", &test::kv_name(self.args.memory.kv_type())]);
        if self.args.memory.low_memory {
            command.arg("--low-memory");
        }
        let numbers = [
            ("-p", test.n_prompt),
            ("-n", test.n_gen),
            ("-d", test.n_depth),
            ("--parallel", test.n_parallel),
            ("-t", threads),
        ];
        for (option, number) in numbers.into_iter().chain(self.args.ctx.map(|ctx| ("-c", ctx))) {
            command.args([option, &number.to_string()]);
        }
        let output = command.output().context("cannot start this program again")?;
        ensure!(
            output.status.success(),
            "a measurement of memory failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let measured: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        Ok(measured[0]["peak_rss"].as_u64())
    }
}
