//! `brooklet imatrix`: measure which columns of a model's matrices matter.

use super::calibration::write;
use crate::error::ConvertError;
use crate::model_args::{ModelArgs, parse_positive};
use crate::quality::calibration::{self, Source};
use crate::quality::imatrix::{self, Collector};
use crate::quality::own_text;
use crate::ui;
use anyhow::Result;
use brooklet::Session;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Arguments of `brooklet imatrix`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Takes a text through a model and sums, for every matrix, the squares of what its columns read, in \
                  llama.cpp's format. The text should be of the kind that the model is for; 50,000 tokens are plenty. \
                  Where there is none, -f self has the model write 64 windows itself. \
                  The model should be a float one, of the checkpoint that is quantized later.\n\n\
                  Example:\n  brooklet convert LFM2-350M --type bf16\n  \
                  brooklet imatrix -m LFM2-350M-BF16.gguf -f text.txt -o LFM2-350M.imatrix.gguf\n  \
                  brooklet convert LFM2-350M --type q4_k_m --imatrix LFM2-350M.imatrix.gguf"
)]
#[command(mut_arg("seed", |a| a.hide(true)))]
#[command(mut_arg("ctx", |a| a.help("Tokens of a window of the text [default: 512]")))]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The text; `self` is one that the model writes itself
    #[arg(short, long, value_name = "FILE|self")]
    file: Source,
    /// Where to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Windows to take [default: all that the text fills, 64 of one that the model writes]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    chunks: Option<usize>,
    /// Take what spells special tokens in the text, such as <|im_start|>, for these tokens
    #[arg(long)]
    parse_special: bool,
}

/// Runs the command; the file's path goes to stdout when it is complete.
pub fn run(mut args: Args) -> Result<()> {
    let model = args.model.open()?;
    args.model.ctx.get_or_insert(calibration::window(&model));
    let tokenizer = args.model.tokenizer(model.gguf())?;
    let mut session = args.model.session(&model)?;
    let cancel = ui::interrupted();
    let windows = match &args.file {
        Source::File(path) => {
            let mut windows = calibration::read(path, &tokenizer, session.context(), args.parse_special)?;
            windows.truncate(args.chunks.unwrap_or(usize::MAX));
            windows
        }
        Source::Model => write(&session, &tokenizer, args.chunks.unwrap_or(own_text::WINDOWS), &cancel)?,
    };
    measure(&mut session, &windows, &args.file, &args.output, &cancel)?;
    ui::print_line(&args.output.display())
}

/// Takes the windows of the text `text` through the model and writes what its matrices read to `output`, until Ctrl-C.
pub(super) fn measure(
    session: &mut Session,
    windows: &[Vec<u32>],
    text: &Source,
    output: &Path,
    cancel: &AtomicBool,
) -> Result<()> {
    let bar = ui::step_bar(windows.len() as u64, "measuring columns");
    let collector = Arc::new(Collector::default());
    let all = calibration::observe(session, windows, Collector::observer(&collector), |taken| {
        bar.set_position(taken as u64);
        !cancel.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    if !all? {
        return Err(ConvertError::Cancelled.into());
    }
    let context = windows.first().map_or(0, Vec::len);
    Ok(imatrix::write(output, &collector.sums(), &text.to_string(), windows.len(), context)?)
}
