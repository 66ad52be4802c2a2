//! Checkpoints and float files to GGUF.

use crate::to_py;
use brooklet_tools::convert::{self as tools, ConvertError, FileType, Options, Progress, Report};
use brooklet_tools::quality::imatrix::Imatrix;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How often Ctrl-C is looked for while nothing else happens.
const SIGNALS: Duration = Duration::from_millis(50);

/// Converts a checkpoint directory as Hugging Face lays it out to a GGUF file; returns warnings.
#[pyfunction]
#[pyo3(signature = (checkpoint_dir, output, r#type="q4_0", progress=None, *, imatrix=None, search=false, lora=None, lora_scale=1.0))]
#[allow(clippy::too_many_arguments)]
pub fn convert(
    py: Python<'_>,
    checkpoint_dir: PathBuf,
    output: PathBuf,
    r#type: &str,
    progress: Option<Py<PyAny>>,
    imatrix: Option<PathBuf>,
    search: bool,
    lora: Option<Vec<PathBuf>>,
    lora_scale: f32,
) -> PyResult<Vec<String>> {
    let rounding = Rounding::new(r#type, imatrix, search)?;
    let lora = lora.unwrap_or_default();
    run(py, &rounding, progress, |options| {
        tools::convert(&checkpoint_dir, &output, &Options { lora: &lora, lora_scale, ..*options })
    })
}

/// Converts a GGUF file of float weights to one of another type; returns warnings.
#[pyfunction]
#[pyo3(signature = (input, output, r#type="q4_0", progress=None, *, imatrix=None, search=false))]
pub fn quantize(
    py: Python<'_>,
    input: PathBuf,
    output: PathBuf,
    r#type: &str,
    progress: Option<Py<PyAny>>,
    imatrix: Option<PathBuf>,
    search: bool,
) -> PyResult<Vec<String>> {
    let rounding = Rounding::new(r#type, imatrix, search)?;
    run(py, &rounding, progress, |options| tools::quantize(&input, &output, options))
}

/// How weights are rounded.
struct Rounding {
    file_type: FileType,
    imatrix: Option<Imatrix>,
    search: bool,
}

impl Rounding {
    fn new(file_type: &str, imatrix: Option<PathBuf>, search: bool) -> PyResult<Rounding> {
        Ok(Rounding {
            file_type: file_type.parse().map_err(PyValueError::new_err)?,
            imatrix: imatrix.map(|path| Imatrix::read(&path)).transpose().map_err(to_py)?,
            search,
        })
    }
}

/// Works on a thread of its own, so that this one can call `progress(done, total)` and answer Ctrl-C.
fn run(
    py: Python<'_>,
    rounding: &Rounding,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&Options) -> Result<Report, ConvertError> + Send,
) -> PyResult<Vec<String>> {
    let cancel = AtomicBool::new(false);
    let (report, stopped) = py.detach(|| {
        std::thread::scope(|scope| {
            let (send, receive) = channel();
            let cancel = &cancel;
            let worker = scope.spawn(move || {
                // Nobody listens any more where the conversion is cancelled.
                let tell = move |p: Progress| {
                    let _ = send.send(p);
                };
                work(&Options {
                    file_type: rounding.file_type,
                    imatrix: rounding.imatrix.as_ref(),
                    search: rounding.search,
                    progress: Some(&tell),
                    cancel: Some(cancel),
                    ..Options::default()
                })
            });
            let mut stopped = Ok(());
            while stopped.is_ok() {
                let news = match receive.recv_timeout(SIGNALS) {
                    Ok(news) => Some(receive.try_iter().last().unwrap_or(news)),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                stopped = Python::attach(|py| {
                    if let (Some(news), Some(progress)) = (news, &progress) {
                        progress.call1(py, (news.done, news.total))?;
                    }
                    py.check_signals()
                });
            }
            cancel.store(stopped.is_err(), Ordering::Relaxed);
            (worker.join(), stopped)
        })
    });
    match report {
        // Python's own exception says more than that the conversion was cancelled.
        Ok(Err(ConvertError::Cancelled)) => stopped.map(|()| Vec::new()),
        Ok(report) => report.map(|report| report.warnings).map_err(to_py),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Whether a path is a directory, which no model is.
pub fn refuse_directory(path: &Path) -> PyResult<()> {
    if !path.is_dir() {
        return Ok(());
    }
    let name = path.display();
    Err(PyValueError::new_err(format!(
        "{name} is a directory, not a GGUF file: brooklet.convert(\"{name}\", \"model.gguf\") makes one of a checkpoint"
    )))
}
