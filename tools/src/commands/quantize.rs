//! `brooklet quantize`: turn a float GGUF file into a quantized one.

use super::convert::{EncodingArgs, report, with_ui};
use super::receipt::{Measurement, with_receipt};
use crate::convert::{self, Options};
use crate::model_args::open_model;
use crate::quality::calibration;
use crate::quality::gptq::Gptq;
use crate::quality::windows::DEFAULT_CONTEXT;
use anyhow::Result;
use brooklet::{Session, SessionOptions, Tokenizer};
use std::path::{Path, PathBuf};

/// Arguments of `brooklet quantize`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The types are those of `brooklet convert --help`.\n\n\
                  Example:\n  brooklet quantize LFM2-350M-BF16.gguf LFM2-350M-Q4_K_M.gguf --type q4_k_m")]
pub struct Args {
    /// A GGUF file of type f32, f16 or bf16, brooklet's or llama.cpp's
    #[arg(value_name = "IN.gguf")]
    input: PathBuf,

    /// Where to write
    #[arg(value_name = "OUT.gguf")]
    output: PathBuf,

    #[command(flatten)]
    encoding: EncodingArgs,

    /// Make up for what rounding a weight loses by how others are rounded (GPTQ), as this text says; takes long, and
    /// needs no importance matrix
    #[arg(long, value_name = "FILE", conflicts_with = "imatrix")]
    gptq: Option<PathBuf>,
}

/// Runs the command; output as of `brooklet convert`.
pub fn run(args: Args) -> Result<()> {
    let gptq = args.gptq.as_deref().map(|text| gptq(&args, text)).transpose()?;
    let make = |output: &Path| {
        let work = |options: &Options| convert::quantize_with(&args.input, output, options, gptq.as_ref());
        with_ui("quantizing", &args.encoding, |_| Ok((None, args.input.clone())), work)
    };
    let Some(text) = &args.encoding.receipt else { return report(&make(&args.output)?) };
    let (output, inputs) = (&*args.output, std::slice::from_ref(&args.input));
    let measurement = Measurement { text, output, inputs, threads: args.encoding.threads() };
    report(&with_receipt(&measurement, make, |_| Ok((None, open_model(&args.input)?)))?)
}

/// The model and the text's windows.
fn gptq(args: &Args, text: &Path) -> Result<Gptq> {
    let model = open_model(&args.input)?;
    let window = DEFAULT_CONTEXT.min(model.config().context_length);
    let tokenizer = Tokenizer::from_gguf(model.gguf())?;
    let windows = calibration::read(&tokenizer, text, window, args.encoding.parse_special)?;
    let threads = args.encoding.threads();
    let session =
        Session::new(model, SessionOptions { context: Some(window), threads, ..Default::default() })?;
    Ok(Gptq::new(&args.input, session, windows))
}
