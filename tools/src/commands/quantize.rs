//! `brooklet quantize`: turn a float GGUF file into a quantized one.

use super::convert::{EncodingArgs, report, with_ui};
use super::receipt::{Measurement, with_receipt};
use crate::convert::{self, Options, Report};
use crate::model_args::open_model;
use crate::quality::calibration;
use crate::quality::gptq::Gptq;
use anyhow::Result;
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
}

/// Runs the command; output as of `brooklet convert`.
pub fn run(args: Args) -> Result<()> {
    let make = |output: &Path| quantize(&args.input, output, &args.encoding);
    let Some(text) = &args.encoding.receipt else { return report(&make(&args.output)?) };
    let (output, inputs) = (&*args.output, std::slice::from_ref(&args.input));
    let measurement = Measurement { text, output, inputs, threads: args.encoding.threads() };
    report(&with_receipt(&measurement, make, |_| Ok((None, open_model(&args.input)?)))?)
}

/// Quantizes a float file, with error feedback where it is asked for.
pub(super) fn quantize(input: &Path, output: &Path, encoding: &EncodingArgs) -> Result<Report> {
    let gptq = |text: &Path| -> Result<Gptq> {
        let (session, windows) =
            calibration::prepare(open_model(input)?, text, encoding.parse_special, encoding.threads())?;
        Ok(Gptq::new(input, session, windows))
    };
    let gptq = encoding.gptq.as_deref().map(gptq).transpose()?;
    let work = |options: &Options| convert::quantize_with(input, output, options, gptq.as_ref());
    with_ui("quantizing", encoding, |_| Ok((None, input.to_path_buf())), work)
}
