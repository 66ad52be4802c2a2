//! Measuring llama.cpp: its llama-bench, one process a repetition; for several sequences at once, its
//! llama-batched-bench.

use super::memory::run_and_watch;
use super::test::{Test, kv_name};
use crate::hint::HintExt;
use anyhow::{Context, Result, anyhow, bail, ensure};
use brooklet_kernels::TensorType;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// llama-bench, and what it is to measure.
pub struct Peer {
    program: PathBuf,
    model: PathBuf,
    kv: TensorType,
}

/// How the peer is fastest at a test.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Whether with its flash attention.
    pub flash_attn: bool,
    /// The most memory it held, in bytes.
    pub peak_rss: Option<u64>,
    /// Which llama.cpp it is.
    pub build: String,
}

/// What llama-bench says of one test, as far as it is of interest.
#[derive(Debug, serde::Deserialize)]
struct Reported {
    build_commit: String,
    build_number: u64,
    n_threads: usize,
    n_prompt: usize,
    n_gen: usize,
    #[serde(default)]
    n_depth: usize,
    samples_ns: Vec<u64>,
}

/// What llama-batched-bench says.
#[derive(Debug, serde::Deserialize)]
struct ReportedTogether {
    n_threads: usize,
    tg: usize,
    pl: usize,
    /// Seconds of the generation.
    t_tg: f64,
}

/// The file name of the program for several sequences, which lies beside llama-bench.
const BATCHED: &str = "llama-batched-bench";

impl Peer {
    /// `program` is llama-bench itself.
    pub fn new(program: &Path, model: &Path, kv: TensorType) -> Peer {
        Peer { program: program.into(), model: model.into(), kv }
    }

    /// Runs a test with flash attention and without, to see which is faster.
    ///
    /// # Errors
    /// llama-bench fails in both ways.
    pub fn set_up(&self, test: Test, threads: usize) -> Result<Setup> {
        let mut best: Option<(u64, Setup)> = None;
        let mut failed = None;
        for flash_attn in [true, false] {
            match self.watched(test, threads, flash_attn) {
                Ok((ns, setup)) => {
                    if best.as_ref().is_none_or(|(least, _)| ns < *least) {
                        best = Some((ns, setup));
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        match (best, failed) {
            (Some((_, setup)), _) => Ok(setup),
            (None, Some(error)) => Err(error),
            (None, None) => unreachable!("every way succeeds or fails"),
        }
    }

    /// Nanoseconds of one repetition.
    ///
    /// # Errors
    /// llama-bench fails.
    pub fn sample(&self, test: Test, threads: usize, flash_attn: bool) -> Result<u64> {
        let output =
            self.command(test, threads, flash_attn).output().with_context(|| self.cannot_run(test))?;
        Ok(self.check(output, test, threads)?.0)
    }

    fn watched(&self, test: Test, threads: usize, flash_attn: bool) -> Result<(u64, Setup)> {
        let mut command = self.command(test, threads, flash_attn);
        let (output, peak_rss) = run_and_watch(&mut command)
            .with_context(|| self.cannot_run(test))
            .hint(|| format!("--vs takes the path of llama.cpp's llama-bench; {BATCHED} lies beside it"))?;
        let (ns, build) = self.check(output, test, threads)?;
        Ok((ns, Setup { flash_attn, peak_rss, build }))
    }

    fn command(&self, test: Test, threads: usize, flash_attn: bool) -> Command {
        let kv = kv_name(self.kv);
        let mut command = Command::new(self.program(test));
        command.arg("-m").arg(&self.model).args(["-ctk", &kv, "-ctv", &kv]);
        let threads = ("-t", threads);
        let numbers = if test.n_parallel > 1 {
            command.args(["--output-format", "jsonl", "-fa", if flash_attn { "on" } else { "off" }]);
            // It takes a prompt of one token at least.
            let depth = test.n_depth.max(1);
            let context = (depth + test.n_gen) * test.n_parallel;
            [("-npp", depth), ("-ntg", test.n_gen), ("-npl", test.n_parallel), ("-c", context), threads]
        } else {
            command.args(["-r", "1", "-o", "json"]);
            let flash_attn = ("-fa", usize::from(flash_attn));
            [("-p", test.n_prompt), ("-n", test.n_gen), ("-d", test.n_depth), threads, flash_attn]
        };
        for (option, number) in numbers {
            command.args([option, &number.to_string()]);
        }
        command
    }

    /// The program for a test.
    fn program(&self, test: Test) -> PathBuf {
        if test.n_parallel > 1 { self.program.with_file_name(BATCHED) } else { self.program.clone() }
    }

    /// The nanoseconds and the build, if it ran and measured what was asked for.
    fn check(&self, output: Output, test: Test, threads: usize) -> Result<(u64, String)> {
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&str> = said.trim().lines().rev().take(3).collect();
            let lines = lines.into_iter().rev().collect::<Vec<_>>().join("; ");
            bail!("{} ended with {}: {lines}", self.program(test).display(), output.status);
        }
        if test.n_parallel > 1 {
            return self.check_together(&output.stdout, test, threads);
        }
        let reported = parse(&output.stdout).with_context(|| {
            format!("{}: expected llama-bench's JSON on its standard output", self.program.display())
        })?;
        let found = (reported.n_prompt, reported.n_gen, reported.n_depth, reported.n_threads);
        ensure!(
            found == (test.n_prompt, test.n_gen, test.n_depth, threads),
            "{}: expected a measurement of {} on {threads} threads, found (n_prompt, n_gen, n_depth, n_threads) \
             {found:?}",
            self.program.display(),
            test.name(),
        );
        let build = format!("{} ({})", reported.build_commit, reported.build_number);
        match *reported.samples_ns {
            [ns] if ns > 0 => Ok((ns, build)),
            _ => bail!("{}: expected one time, found {:?}", self.program.display(), reported.samples_ns),
        }
    }

    /// As [`Peer::check`], of llama-batched-bench, which does not say which build it is.
    fn check_together(&self, stdout: &[u8], test: Test, threads: usize) -> Result<(u64, String)> {
        let program = self.program(test);
        let text = str::from_utf8(stdout).with_context(|| format!("{}: its output", program.display()))?;
        let lines = text.lines().filter(|line| line.starts_with('{'));
        let reported: Vec<ReportedTogether> =
            lines.map(serde_json::from_str).collect::<Result<_, _>>().with_context(|| {
                format!("{}: expected one JSON object a line on its standard output", program.display())
            })?;
        let expected = (test.n_gen, test.n_parallel, threads);
        match *reported {
            [ref one] if (one.tg, one.pl, one.n_threads) == expected && one.t_tg > 0.0 => {
                Ok(((one.t_tg * 1e9) as u64, "(the build beside it)".into()))
            }
            _ => bail!(
                "{}: expected one measurement of (tokens, sequences, threads) {expected:?}, found {reported:?}",
                program.display()
            ),
        }
    }

    fn cannot_run(&self, test: Test) -> String {
        format!("cannot run {}", self.program(test).display())
    }
}

/// The one test in llama-bench's output; some builds print other lines first.
fn parse(stdout: &[u8]) -> Result<Reported> {
    let text = str::from_utf8(stdout)?;
    let start = text.find('[').ok_or_else(|| anyhow!("no array in {:?}", text.trim()))?;
    let mut tests: Vec<Reported> = serde_json::from_str(&text[start..])?;
    match (tests.pop(), tests.len()) {
        (Some(test), 0) => Ok(test),
        (_, more) => bail!("expected one measurement, found {}", more + usize::from(more > 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"build_commit": "abc", "build_number": 7, "n_threads": 2, "n_prompt": 512, "n_gen": 0,
        "n_depth": 0, "avg_ns": 5, "stddev_ns": 0, "samples_ns": [ 5 ], "samples_ts": [ 1.5 ], "no_op_offload": 0}"#;

    #[test]
    fn the_one_test_is_found_among_other_lines() {
        let test = parse(format!("load_backend: loaded CPU\n[\n{ONE}\n]\n").as_bytes()).unwrap();
        assert_eq!((test.n_prompt, test.n_threads, &*test.samples_ns), (512, 2, &[5][..]));
        for (bad, says) in [
            ("".to_string(), "no array"),
            ("[]".into(), "found 0"),
            (format!("[{ONE},{ONE}]"), "found 2"),
            ("[{\"n_prompt\": 1}]".into(), "missing field"),
            (format!("[{ONE}"), "EOF"),
        ] {
            let error = parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn the_peer_gets_the_same_test() {
        let peer = Peer::new(Path::new("/x/llama-bench"), Path::new("a.gguf"), TensorType::F16);
        let test = Test { n_prompt: 0, n_gen: 64, n_depth: 4096, n_parallel: 1, n_threads: None };
        let four = Test { n_parallel: 4, ..test };
        for (test, program, expected) in [
            (
                test,
                "/x/llama-bench",
                "-m a.gguf -ctk f16 -ctv f16 -r 1 -o json -p 0 -n 64 -d 4096 -t 3 -fa 1",
            ),
            (
                four,
                "/x/llama-batched-bench",
                "-m a.gguf -ctk f16 -ctv f16 --output-format jsonl -fa on -npp 4096 -ntg 64 -npl 4 -c 16640 -t 3",
            ),
        ] {
            let command = peer.command(test, 3, true);
            assert_eq!(command.get_program(), program);
            let args: Vec<_> = command.get_args().map(|a| a.to_str().unwrap()).collect();
            assert_eq!(args.join(" "), expected);
        }
    }
}
