//! Measuring llama.cpp: its llama-bench, one process a repetition.

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
        let output = self.command(test, threads, flash_attn).output().with_context(|| self.cannot_run())?;
        Ok(self.check(output, test, threads)?.0)
    }

    fn watched(&self, test: Test, threads: usize, flash_attn: bool) -> Result<(u64, Setup)> {
        let mut command = self.command(test, threads, flash_attn);
        let (output, peak_rss) = run_and_watch(&mut command)
            .with_context(|| self.cannot_run())
            .hint(|| "--vs takes the path of llama.cpp's llama-bench".into())?;
        let (ns, build) = self.check(output, test, threads)?;
        Ok((ns, Setup { flash_attn, peak_rss, build }))
    }

    fn command(&self, test: Test, threads: usize, flash_attn: bool) -> Command {
        let kv = kv_name(self.kv);
        let mut command = Command::new(&self.program);
        command.arg("-m").arg(&self.model).args(["-ctk", &kv, "-ctv", &kv, "-r", "1", "-o", "json"]);
        let numbers = [
            ("-p", test.n_prompt),
            ("-n", test.n_gen),
            ("-d", test.n_depth),
            ("-t", threads),
            ("-fa", usize::from(flash_attn)),
        ];
        for (option, number) in numbers {
            command.args([option, &number.to_string()]);
        }
        command
    }

    /// The nanoseconds and the build, if it ran and measured what was asked for.
    fn check(&self, output: Output, test: Test, threads: usize) -> Result<(u64, String)> {
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&str> = said.trim().lines().rev().take(3).collect();
            let lines = lines.into_iter().rev().collect::<Vec<_>>().join("; ");
            bail!("{} ended with {}: {lines}", self.program.display(), output.status);
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

    fn cannot_run(&self) -> String {
        format!("cannot run {}", self.program.display())
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
        let test = Test { n_prompt: 0, n_gen: 64, n_depth: 4096, n_threads: None };
        let command = peer.command(test, 3, true);
        let args: Vec<_> = command.get_args().map(|a| a.to_str().unwrap()).collect();
        let expected = "-m a.gguf -ctk f16 -ctv f16 -r 1 -o json -p 0 -n 64 -d 4096 -t 3 -fa 1";
        assert_eq!(args.join(" "), expected);
    }
}
