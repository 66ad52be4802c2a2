//! Models made of the golden checkpoints, converted once a test process.

use brooklet::{Gguf, Model};
use brooklet_kernels::{Kernels, active, all};
use brooklet_tools::convert::{self, FileType, Options};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use tempfile::TempDir;

/// Every golden shape: see fixtures/golden/make.py.
#[allow(dead_code, reason = "not every binary of tests goes through the shapes")]
pub const SHAPES: [&str; 4] = ["official", "layers", "odd", "wide"];

/// The kernel sets to test: the one that `BROOKLET_ISA` names, or all.
#[allow(dead_code, reason = "not every binary of tests goes through the sets")]
pub fn sets() -> Vec<&'static Kernels> {
    match std::env::var_os("BROOKLET_ISA") {
        Some(_) => vec![active().expect("a set of this processor")],
        None => all(),
    }
}

static DIR: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary directory"));

/// The directory of a shape's checkpoint, or of the trained one, `demo`.
pub fn checkpoint(shape: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if shape == "demo" { root.join("models/demo") } else { root.join("tests/fixtures/golden").join(shape) }
}

/// The checkpoint converted to `file_type`.
pub fn gguf(shape: &str, file_type: FileType) -> PathBuf {
    static CONVERTING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = CONVERTING.lock();
    let out = DIR.path().join(format!("{shape}-{}.gguf", file_type.name()));
    if !out.exists() {
        convert::convert(&checkpoint(shape), &out, &Options { file_type, ..Default::default() })
            .expect("the checkpoint converts");
    }
    out
}

/// A model of it on the given kernels.
pub fn model(shape: &str, file_type: FileType, kernels: &'static Kernels) -> Arc<Model> {
    let file = Gguf::open(&gguf(shape, file_type)).expect("the file opens");
    Arc::new(Model::with_kernels(file, kernels).expect("the model loads"))
}
