//! The importance matrix: measured, written, read, and used; rounding with error feedback.

#[path = "../model/models.rs"]
mod models;

use assert_cmd::Command;
use brooklet::gguf::{GgufWriter, TensorPlan, Value};
use brooklet::model::tensors::{Role, specs};
use brooklet::{Gguf, Session, SessionOptions, Tokenizer};
use brooklet_kernels::{TensorType, active, format};
use brooklet_tools::convert::{self, FileType, Options};
use brooklet_tools::quality::calibration;
use brooklet_tools::quality::gptq::Gptq;
use brooklet_tools::quality::imatrix::{self, Collector, Imatrix, Sums};
use brooklet_tools::quality::own_text;
use models::{checkpoint, gguf, model};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Two windows of ids that every golden vocabulary has.
fn windows() -> Vec<Vec<u32>> {
    [3, 5].map(|k| (0..40).map(|i| (i * i * k + i * 13) % 400).collect()).to_vec()
}

/// The sums over the windows, on so many threads.
fn collect(shape: &str, threads: usize) -> BTreeMap<String, Sums> {
    let model = model(shape, FileType::F32, active().expect("a kernel set"));
    let options = SessionOptions { threads: Some(threads), kv_type: TensorType::F32, ..Default::default() };
    let mut session = Session::new(model, options).expect("a session");
    let collector = Arc::new(Collector::default());
    calibration::observe(&mut session, &windows(), Collector::observer(&collector), |_| true)
        .expect("it fits");
    collector.sums().clone()
}

fn floats(gguf: &Gguf, name: &str) -> Vec<f32> {
    let view = gguf.tensor(name).unwrap_or_else(|| panic!("{name} is there"));
    let mut out = vec![0.0; view.info.shape.iter().product()];
    format::decode(view.info.ty, view.data, &mut out);
    out
}

/// Every matrix is seen once a token, as many columns as it has.
#[test]
fn every_matrix_is_seen_at_every_token() {
    for shape in models::SHAPES {
        let sums = collect(shape, 2);
        let model = model(shape, FileType::F32, active().expect("a kernel set"));
        let tied = model.gguf().tensor("output.weight").is_none();
        let mut expected = BTreeMap::new();
        for spec in specs(model.config()).into_iter().filter(|s| s.role == Role::Matrix) {
            // An embedding is looked up; one that is the head is multiplied too.
            if model.gguf().tensor(&spec.gguf).is_some() && (tied || spec.gguf != "token_embd.weight") {
                expected.insert(spec.gguf, spec.shape[0]);
            }
        }
        let found: BTreeMap<_, _> = sums.iter().map(|(name, s)| (name.clone(), s.squares.len())).collect();
        assert_eq!(found, expected, "{shape}");
        for (name, sums) in sums {
            assert_eq!(sums.count, 80, "{shape} {name}");
            assert!(
                sums.squares.iter().all(|s| s.is_finite()) && sums.squares.iter().sum::<f64>() > 0.0,
                "{name}"
            );
        }
    }
}

/// What the first layer's operator reads is the normed embedding; everything that reads the same has the same sums.
#[test]
fn sums_are_those_of_a_direct_computation() {
    for shape in models::SHAPES {
        let sums = collect(shape, 2);
        let file = Gguf::open(&gguf(shape, FileType::F32)).expect("it opens");
        let (embedding, norm) = (floats(&file, "token_embd.weight"), floats(&file, "blk.0.attn_norm.weight"));
        let eps = f64::from(file.get_f32("lfm2.attention.layer_norm_rms_epsilon").unwrap().unwrap());
        let hidden = norm.len();
        let mut expected = vec![0.0; hidden];
        for id in windows().into_iter().flatten() {
            let x = &embedding[id as usize * hidden..][..hidden];
            let mean = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / hidden as f64;
            for ((sum, x), g) in expected.iter_mut().zip(x).zip(&norm) {
                *sum += (f64::from(*x) * f64::from(*g)).powi(2) / (mean + eps);
            }
        }
        let first: Vec<_> = ["shortconv.in_proj", "attn_q", "attn_k", "attn_v"]
            .into_iter()
            .filter_map(|name| sums.get(&format!("blk.0.{name}.weight")))
            .collect();
        assert!(first.len() == 1 || first.len() == 3, "{shape}");
        for sums in first {
            for (found, expected) in sums.squares.iter().zip(&expected) {
                // Measured: 2e-7, of f32 norms.
                assert!((found - expected).abs() <= 1e-6 * expected, "{shape}: {found}, expected {expected}");
            }
        }
        assert_eq!(sums["blk.1.ffn_gate.weight"], sums["blk.1.ffn_up.weight"], "{shape}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_sums() {
    assert_eq!(collect("layers", 1), collect("layers", 3));
}

/// A session without an observer, and one that had one, compute the same.
#[test]
fn observing_changes_nothing() {
    let model = model("layers", FileType::Q4_0, active().expect("a kernel set"));
    let mut session = Session::new(model, SessionOptions::default()).expect("a session");
    let ids = &windows()[0];
    let expected = session.prefill(ids).expect("it fits").to_vec();
    let collector = Arc::new(Collector::default());
    session.observe(Some(Collector::observer(&collector)));
    session.reset();
    assert_eq!(session.prefill(ids).expect("it fits"), expected);
    let seen = collector.sums().clone();
    session.observe(None);
    session.reset();
    assert_eq!(session.prefill(ids).expect("it fits"), expected);
    assert_eq!(*collector.sums(), seen);
}

fn write(dir: &Path, sums: &BTreeMap<String, Sums>) -> PathBuf {
    let path = dir.join("imatrix.gguf");
    imatrix::write(&path, sums, "text.txt", 2, 40).expect("it writes");
    path
}

#[test]
fn a_file_reads_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let sums = collect("layers", 2);
    let path = write(dir.path(), &sums);
    let read = Imatrix::read(&path).expect("it reads");
    for (name, sums) in &sums {
        let weights = read.weights(name, sums.squares.len()).expect("it fits").expect("it is there");
        let expected: Vec<f32> = sums.squares.iter().map(|s| *s as f32 / sums.count as f32).collect();
        assert_eq!(weights, expected, "{name}");
    }
    let file = Gguf::open(&path).expect("it opens");
    assert_eq!(file.get_str("general.type").unwrap(), Some("imatrix"));
    assert_eq!(file.get_usize("imatrix.chunk_count").unwrap(), Some(2));
    assert_eq!(file.get_usize("imatrix.chunk_size").unwrap(), Some(40));
    assert_eq!(floats(&file, "blk.0.ffn_up.weight.counts"), [80.0]);
    assert_eq!(fs::read_dir(dir.path()).expect("it reads").count(), 1);
}

/// What the model with `--imatrix` says of a file.
fn refusal(path: &Path) -> String {
    let error = Imatrix::read(path).and_then(|imatrix| {
        let out = path.with_extension("out");
        let options = Options { imatrix: Some(&imatrix), ..Default::default() };
        let outcome = convert::quantize(&gguf("layers", FileType::F32), &out, &options);
        assert!(outcome.is_ok() || !out.exists());
        outcome
    });
    error.expect_err("it is refused").to_string()
}

/// Name and values.
type Forged<'a> = (&'a str, &'a [f32]);

/// Writes tensors of F32 as a file of the type.
fn forge(path: &Path, kind: &str, tensors: &[Forged<'_>]) {
    let mut writer = GgufWriter::new();
    writer.set("general.type", Value::String(kind));
    let plan = |(name, values): &Forged<'_>| TensorPlan {
        name: (*name).into(),
        ty: TensorType::F32,
        shape: vec![values.len()],
    };
    let mut stream = writer.create(path, &tensors.iter().map(plan).collect::<Vec<_>>()).expect("created");
    for (_, values) in tensors {
        stream.write(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()).expect("written");
    }
    stream.finish().expect("finished");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("bad.gguf");
    fs::write(&path, "text").expect("written");
    assert!(Imatrix::read(&path).is_err());
    let model = gguf("layers", FileType::F32);
    assert!(
        Imatrix::read(&model).expect_err("a model").to_string().contains("general.type: expected 'imatrix'")
    );
    let cases: [(&[Forged<'_>], &str); 6] = [
        (&[("a.in_sum2", &[1.0, 2.0])], "'a.counts': expected counts beside the sums"),
        (&[("a.counts", &[1.0])], "'a.in_sum2': expected sums beside the counts"),
        (&[("a.in_sum2", &[1.0]), ("a.counts", &[0.0])], "at least one input"),
        (&[("a.in_sum2", &[1.0, 1.0]), ("a.counts", &[1.0, 1.0])], "one count"),
        (&[("a.in_sum2", &[f32::NAN]), ("a.counts", &[1.0])], "finite and not negative"),
        (&[("a", &[1.0])], "NAME.in_sum2 or NAME.counts"),
    ];
    for (tensors, expected) in cases {
        forge(&path, "imatrix", tensors);
        let found = refusal(&path);
        assert!(found.contains(expected) && found.contains("bad.gguf"), "{found}");
    }

    let sums = collect("layers", 2);
    let mut lacking = sums.clone();
    lacking.remove("blk.1.ffn_down.weight");
    let found = refusal(&write(dir.path(), &lacking));
    assert!(found.contains("'blk.1.ffn_down.weight.in_sum2': expected sums for every matrix"), "{found}");
    let mut narrow = sums.clone();
    narrow.get_mut("blk.0.ffn_up.weight").expect("it is there").squares.pop();
    let found = refusal(&write(dir.path(), &narrow));
    assert!(found.contains("blk.0.ffn_up.weight") && found.contains("columns, as the model has"), "{found}");
}

#[test]
fn an_input_that_is_not_finite_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("bad.gguf");
    let sums = BTreeMap::from([("blk.0.x.weight".to_string(), Sums { squares: vec![f64::NAN], count: 1 })]);
    let error = imatrix::write(&path, &sums, "", 1, 1).expect_err("it is refused").to_string();
    assert!(error.contains("blk.0.x.weight") && error.contains("finite"), "{error}");
    assert!(!path.exists());
}

/// The weighted squared error of all matrices, relative to the weighted squares.
fn weighted_error(float: &Gguf, quantized: &Gguf, sums: &BTreeMap<String, Sums>) -> f64 {
    let (mut error, mut energy) = (0.0, 0.0);
    for (name, sums) in sums {
        let (x, y) = (floats(float, name), floats(quantized, name));
        for (i, (x, y)) in x.iter().zip(&y).enumerate() {
            let w = sums.squares[i % sums.squares.len()];
            error += w * f64::from(x - y).powi(2);
            energy += w * f64::from(*x).powi(2);
        }
    }
    error / energy
}

/// The same bytes from the checkpoint, from its float file and on any number of
/// threads, a smaller weighted error than without, and no difference to the file without the option.
#[test]
fn converting_with_it_lowers_the_weighted_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let sums = collect("layers", 2);
    let mut without_head = sums.clone();
    without_head.remove("token_embd.weight").expect("the head is measured");
    let measured = Imatrix::read(&write(dir.path(), &sums)).expect("it reads");
    let partial = Imatrix::read(&write(dir.path(), &without_head)).expect("it reads");
    let float = Gguf::open(&gguf("layers", FileType::F32)).expect("it opens");
    let out = dir.path().join("out.gguf");
    // Measured: 0.833, 0.912 and 0.876.
    for (file_type, bound) in [(FileType::Q4_0, 0.85), (FileType::IQ4_NL, 0.93), (FileType::Q4_K_M, 0.89)] {
        let options = Options { file_type, imatrix: Some(&measured), ..Default::default() };
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads");
        pool(1).install(|| convert::convert(&checkpoint("layers"), &out, &options)).expect("it converts");
        let bytes = fs::read(&out).expect("it reads");
        pool(3)
            .install(|| convert::quantize(&gguf("layers", FileType::F32), &out, &options))
            .expect("it quantizes");
        assert!(fs::read(&out).expect("it reads") == bytes, "{file_type}");
        let plain = Gguf::open(&gguf("layers", file_type)).expect("it opens");
        let weighted = Gguf::open(&out).expect("it opens");
        // Its keys say what it was quantized with, so that tensors lie elsewhere.
        let tensors = |gguf: &Gguf| -> Vec<_> {
            gguf.tensors().iter().map(|t| (t.name.clone(), t.ty, t.shape.clone())).collect()
        };
        assert_eq!(tensors(&weighted), tensors(&plain), "{file_type}");
        let ratio = weighted_error(&float, &weighted, &sums) / weighted_error(&float, &plain, &sums);
        println!("{file_type}: {ratio:.3}");
        assert!(ratio <= bound, "{file_type}: {ratio:.3}");
    }
    // llama.cpp's files have no head.
    let options = Options { file_type: FileType::Q4_0, imatrix: Some(&partial), ..Default::default() };
    convert::quantize(&gguf("layers", FileType::F32), &out, &options).expect("it quantizes");
}

/// Rounding with error feedback: the same bytes on any number of threads, and the file is one of the type.
#[test]
fn error_feedback_gives_the_same_file_on_any_number_of_threads() {
    let dir = tempfile::tempdir().expect("a directory");
    let float = gguf("layers", FileType::F32);
    let out = dir.path().join("out.gguf");
    for file_type in [FileType::Q4_0, FileType::Q4_K_M] {
        let mut files = [1, 3].map(|threads| {
            let model = model("layers", FileType::F32, active().expect("a kernel set"));
            let options = SessionOptions { threads: Some(threads), ..Default::default() };
            let session = Session::new(model, options).expect("a session");
            let gptq = Gptq::new(&float, session, windows());
            let options = Options { file_type, ..Default::default() };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| convert::quantize_with(&float, &out, &options, Some(&gptq)))
                .expect("it quantizes");
            fs::read(&out).expect("it reads")
        });
        assert!(files[0] == files[1], "{file_type}");
        let plain = Gguf::open(&gguf("layers", file_type)).expect("it opens");
        assert_eq!(Gguf::open(&out).expect("it opens").tensors(), plain.tensors(), "{file_type}");
        files[0].truncate(plain.file_len());
        assert!(files[0] != plain.bytes(), "{file_type}: nothing was done");
    }
}

/// The text that a model writes is the same on any number of threads, begins as texts do and goes on by chance.
#[test]
fn a_model_writes_its_own_text() {
    let model = model("demo", FileType::Q8_0, active().expect("a kernel set"));
    let tokenizer = Tokenizer::from_gguf(model.gguf()).expect("it has one");
    let write = |threads, most| {
        let options = SessionOptions { threads: Some(threads), context: Some(20), ..Default::default() };
        let session = Session::new(model.clone(), options).expect("a session");
        own_text::write(&session, &tokenizer, 40, |tokens| tokens < most).expect("it fits")
    };
    let windows = write(1, usize::MAX).expect("all of it");
    assert_eq!(windows.len(), 40);
    let mut start = Vec::new();
    tokenizer.ensure_bos(&mut start);
    assert!(windows.iter().all(|window| window.len() == 20 && window.starts_with(&start)));
    let different: BTreeSet<&Vec<u32>> = windows.iter().collect();
    assert!(different.len() > windows.len() / 2, "{} texts", different.len());
    // Drawn by chance: about half are not the likeliest.
    let mut session = Session::new(model.clone(), SessionOptions::default()).expect("a session");
    let mut likeliest = 0;
    for window in &windows {
        session.reset();
        let mut expected = None;
        session
            .prefill_each(window, |i, logits| {
                likeliest += usize::from(expected == Some(window[i]));
                let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
                expected = best.map(|(id, _)| id as u32);
            })
            .expect("it fits");
    }
    let drawn = windows.len() * 19;
    println!("the likeliest {likeliest} of {drawn} times");
    // Measured: 421 of 760.
    assert!(likeliest > drawn / 4 && likeliest < drawn * 3 / 4, "{likeliest} of {drawn}");
    assert_eq!(write(3, usize::MAX), Some(windows));
    assert_eq!(write(1, 100), None);
}

fn brooklet(args: &[&str], dir: &Path) -> (Option<i32>, String, String) {
    let output = Command::cargo_bin("brooklet").expect("it is built").current_dir(dir).args(args).output();
    let output = output.expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// From a text to files, as a user types it.
#[test]
fn the_commands_do_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let float = gguf("layers", FileType::F32);
    let float = float.to_str().expect("UTF-8");
    let text = "In the beginning God created the heaven and the earth. ".repeat(5);
    fs::write(dir.path().join("text.txt"), &text).expect("written");
    let run = |args: &[&str]| brooklet(args, dir.path());

    let measure = ["imatrix", "-m", float, "-f", "text.txt", "-o", "x.imatrix", "-c", "16", "--chunks", "5"];
    let (code, stdout, stderr) = run(&measure);
    assert_eq!((code, stdout.as_str()), (Some(0), "x.imatrix\n"), "{stderr}");
    let file = Gguf::open(&dir.path().join("x.imatrix")).expect("it opens");
    assert_eq!(floats(&file, "blk.0.ffn_up.weight.counts"), [80.0]);
    assert_eq!(file.get_usize("imatrix.chunk_count").unwrap(), Some(5));

    // Of a text that the model writes.
    let measure = ["imatrix", "-m", float, "-f", "self", "-o", "own.imatrix", "-c", "16", "--chunks", "5"];
    let (code, _, stderr) = run(&measure);
    assert_eq!(code, Some(0), "{stderr}");
    let own = Gguf::open(&dir.path().join("own.imatrix")).expect("it opens");
    assert_eq!(floats(&own, "blk.0.ffn_up.weight.counts"), [80.0]);
    assert!(floats(&own, "blk.0.ffn_up.weight.in_sum2") != floats(&file, "blk.0.ffn_up.weight.in_sum2"));

    let (code, _, stderr) = run(&["quantize", float, "a.gguf", "--imatrix", "x.imatrix"]);
    assert_eq!(code, Some(0), "{stderr}");
    let (code, _, stderr) = run(&["quantize", float, "b.gguf", "--search"]);
    assert_eq!(code, Some(0), "{stderr}");
    let read = |name: &str| fs::read(dir.path().join(name)).expect("it reads");
    assert!(read("a.gguf") != read("b.gguf"));

    // As llama-quantize says it.
    let file = Gguf::open(&dir.path().join("a.gguf")).expect("it opens");
    let said = |key: &str| file.get_str(key).unwrap().map(str::to_string);
    assert_eq!(said("quantize.imatrix.file").as_deref(), Some("x.imatrix"));
    assert_eq!(said("quantize.imatrix.dataset").as_deref(), Some("text.txt"));
    assert_eq!(file.get_usize("quantize.imatrix.chunks_count").unwrap(), Some(5));
    assert_eq!(file.get_usize("quantize.imatrix.entries_count").unwrap(), Some(25));

    // A window is 512 tokens, which the text has not.
    let (code, _, stderr) = run(&["quantize", float, "c.gguf", "--gptq", "text.txt"]);
    assert!(
        code == Some(1) && stderr.contains("text.txt: the text has") && stderr.contains("512"),
        "{stderr}"
    );
    // From the checkpoint as from its float file.
    fs::write(dir.path().join("long.txt"), text.repeat(4)).expect("written");
    let directory = checkpoint("layers");
    for (command, input, output) in
        [("quantize", float, &["d.gguf"][..]), ("convert", directory.to_str().unwrap(), &["-o", "e.gguf"])]
    {
        let (code, _, stderr) = run(&[&[command, input], output, &["--gptq", "long.txt"]].concat());
        assert_eq!(code, Some(0), "{stderr}");
    }
    assert!(read("d.gguf") == read("e.gguf") && read("d.gguf") != read("b.gguf"));
    let (code, _, stderr) = run(&["imatrix", "-m", float, "-f", "none.txt", "-o", "x"]);
    assert!(code == Some(1) && stderr.contains("none.txt"), "{stderr}");
    let (code, _, stderr) = run(&["quantize", float, "c.gguf", "--imatrix", float]);
    assert!(code == Some(1) && stderr.contains("general.type: expected 'imatrix'"), "{stderr}");
    assert!(!dir.path().join("c.gguf").exists());
}
