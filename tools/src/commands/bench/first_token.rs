//! Time to the first token: from the start of a process to the first byte of its answer.

use super::stats::Figure;
use anyhow::{Context, Result};
use brooklet::{Model, Tokenizer};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Tokens of the prompt, its beginning-of-text token included.
pub const PROMPT_TOKENS: usize = 13;
/// Positions of both.
const CONTEXT: usize = 2048;

/// Seconds of ours and, where llama-completion sits beside llama-bench, of the peer's.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct FirstToken {
    /// Ours.
    pub own: Figure,
    /// The peer's.
    pub peer: Option<Figure>,
}

/// Measures both in turn; the first run of each, which may find its files on the disk, is not counted. `None` for
/// a file without a tokenizer.
///
/// # Errors
/// A program cannot be started.
pub fn measure(
    model: &Model,
    file: &Path,
    llama_bench: &Path,
    threads: usize,
    repetitions: usize,
) -> Result<Option<FirstToken>> {
    let Some(prompt) = Tokenizer::from_gguf(model.gguf()).ok().and_then(|t| prompt(&t)) else {
        return Ok(None);
    };
    let context = model.config().context_length.min(CONTEXT).to_string();
    let shared = |program: &Path| {
        let mut command = Command::new(program);
        command.args(["-p", &prompt, "-n", "1", "--temp", "0", "--ignore-eos", "-c", &context]);
        command.arg("-t").arg(threads.to_string());
        command
    };
    let own_program = std::env::current_exe().context("cannot find this program to start it again")?;
    let own = || {
        let mut command = Command::new(&own_program);
        command.args(["run", "--raw"]).args(shared(&own_program).get_args()).arg("-m").arg(file);
        seconds(&mut command)
    };
    let completion = beside(llama_bench).filter(|p| p.is_file());
    let peer = || -> Result<Option<f64>> {
        let Some(program) = &completion else { return Ok(None) };
        let mut command = shared(program);
        // Without its warm-up it answers sooner.
        command.args(["-no-cnv", "--no-display-prompt", "--no-warmup", "-m"]).arg(file);
        seconds(&mut command).map(Some)
    };
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for repetition in 0..=repetitions {
        let (own, peer) = (own()?, peer()?);
        if repetition > 0 {
            ours.push(own);
            peers.extend(peer);
        }
    }
    let peer = (!peers.is_empty()).then(|| Figure::of(&peers));
    Ok(Some(FirstToken { own: Figure::of(&ours), peer }))
}

/// llama-completion beside llama-bench.
fn beside(llama_bench: &Path) -> Option<PathBuf> {
    let name = llama_bench.file_name()?.to_str()?;
    Some(llama_bench.with_file_name(name.replacen("bench", "completion", 1)))
}

/// A text of as many tokens, or the next larger number that words make.
fn prompt(tokenizer: &Tokenizer) -> Option<String> {
    const WORDS: &str = "Once upon a time there was a little brook that ran down from the hills to the sea";
    let mut text = String::new();
    // Repeated, for tokens longer than words; a tokenizer that makes nothing of words gives up.
    for word in WORDS.split(' ').cycle().take(100 * PROMPT_TOKENS) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
        if tokenizer.encode_with_bos(&text).ok()?.len() >= PROMPT_TOKENS {
            return Some(text);
        }
    }
    None
}

fn seconds(command: &mut Command) -> Result<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let program = command.get_program().to_string_lossy().into_owned();
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
    let mut output = child.stdout.take().context("a pipe was asked for")?;
    let mut first = [0; 1];
    let read = output.read(&mut first);
    let elapsed = started.elapsed();
    let rest = std::io::copy(&mut output, &mut std::io::sink());
    let status = child.wait()?;
    read?;
    rest?;
    anyhow::ensure!(status.success(), "{program} ended with {status}");
    Ok(elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_companion_sits_beside() {
        assert_eq!(beside(Path::new("/b/llama-bench")), Some("/b/llama-completion".into()));
        assert_eq!(beside(Path::new("llama-bench.exe")), Some("llama-completion.exe".into()));
    }
}
