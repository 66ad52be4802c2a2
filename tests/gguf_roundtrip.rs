//! What the writer writes, the reader reads back; what fails on the way leaves nothing behind.

#[path = "common/raw_gguf.rs"]
mod raw_gguf;

use brooklet::gguf::{Array, GgufError, GgufWriter, TensorPlan, Value, ValueKind};
use brooklet::{Error, Gguf};
use brooklet_kernels::TensorType;
use proptest::prelude::*;
use raw_gguf::{Raw, kind, string};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn temp() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    (dir, path)
}

fn names_in(dir: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(dir.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn plan(name: &str, ty: TensorType, shape: &[usize]) -> TensorPlan {
    TensorPlan { name: name.into(), ty, shape: shape.into() }
}

fn write_metadata(writer: GgufWriter) -> Gguf {
    let (_dir, path) = temp();
    writer.create(&path, &[]).unwrap().finish().unwrap();
    // The map outlives the file's name.
    Gguf::open(&path).unwrap()
}

// Metadata

/// An owned value that the writer has a setter for.
#[derive(Clone, Debug)]
enum Owned {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    U64(u64),
    I64(i64),
    F64(f64),
    Strings(Vec<String>),
    I32s(Vec<i32>),
    U32s(Vec<u32>),
    F32s(Vec<f32>),
    Bools(Vec<bool>),
}

impl Owned {
    fn set(&self, writer: &mut GgufWriter, key: &str) {
        match self {
            Owned::U8(v) => writer.set(key, Value::U8(*v)),
            Owned::I8(v) => writer.set(key, Value::I8(*v)),
            Owned::U16(v) => writer.set(key, Value::U16(*v)),
            Owned::I16(v) => writer.set(key, Value::I16(*v)),
            Owned::U32(v) => writer.set(key, Value::U32(*v)),
            Owned::I32(v) => writer.set(key, Value::I32(*v)),
            Owned::F32(v) => writer.set(key, Value::F32(*v)),
            Owned::Bool(v) => writer.set(key, Value::Bool(*v)),
            Owned::String(v) => writer.set(key, Value::String(v)),
            Owned::U64(v) => writer.set(key, Value::U64(*v)),
            Owned::I64(v) => writer.set(key, Value::I64(*v)),
            Owned::F64(v) => writer.set(key, Value::F64(*v)),
            Owned::Strings(v) => writer.set_strings(key, v),
            Owned::I32s(v) => writer.set_i32s(key, v),
            Owned::U32s(v) => writer.set_u32s(key, v),
            Owned::F32s(v) => writer.set_f32s(key, v),
            Owned::Bools(v) => writer.set_bools(key, v),
        }
    }

    fn is(&self, value: Value<'_>) -> bool {
        let elements = |kind, expected: Vec<Value<'_>>| {
            value.as_array().is_some_and(|array| {
                array.kind() == kind && array.len() == expected.len() && array.iter().eq(expected)
            })
        };
        match self {
            Owned::U8(v) => value == Value::U8(*v),
            Owned::I8(v) => value == Value::I8(*v),
            Owned::U16(v) => value == Value::U16(*v),
            Owned::I16(v) => value == Value::I16(*v),
            Owned::U32(v) => value == Value::U32(*v),
            Owned::I32(v) => value == Value::I32(*v),
            Owned::F32(v) => value == Value::F32(*v),
            Owned::Bool(v) => value == Value::Bool(*v),
            Owned::String(v) => value == Value::String(v),
            Owned::U64(v) => value == Value::U64(*v),
            Owned::I64(v) => value == Value::I64(*v),
            Owned::F64(v) => value == Value::F64(*v),
            Owned::Strings(v) => elements(ValueKind::String, v.iter().map(|v| Value::String(v)).collect()),
            Owned::I32s(v) => elements(ValueKind::I32, v.iter().copied().map(Value::I32).collect()),
            Owned::U32s(v) => elements(ValueKind::U32, v.iter().copied().map(Value::U32).collect()),
            Owned::F32s(v) => elements(ValueKind::F32, v.iter().copied().map(Value::F32).collect()),
            Owned::Bools(v) => elements(ValueKind::Bool, v.iter().copied().map(Value::Bool).collect()),
        }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let scalar = prop_oneof![
        any::<u8>().prop_map(Owned::U8),
        any::<i8>().prop_map(Owned::I8),
        any::<u16>().prop_map(Owned::U16),
        any::<i16>().prop_map(Owned::I16),
        any::<u32>().prop_map(Owned::U32),
        any::<i32>().prop_map(Owned::I32),
        any::<f32>().prop_map(Owned::F32),
        any::<bool>().prop_map(Owned::Bool),
        any::<u64>().prop_map(Owned::U64),
        any::<i64>().prop_map(Owned::I64),
    ];
    let array = prop_oneof![
        any::<Vec<i32>>().prop_map(Owned::I32s),
        any::<Vec<u32>>().prop_map(Owned::U32s),
        any::<Vec<f32>>().prop_map(Owned::F32s),
        any::<Vec<bool>>().prop_map(Owned::Bools),
        prop::collection::vec(any::<String>(), 0..20).prop_map(Owned::Strings),
    ];
    prop_oneof![
        6 => scalar,
        1 => any::<f64>().prop_map(Owned::F64),
        2 => any::<String>().prop_map(Owned::String),
        5 => array,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn metadata_comes_back_in_order(
        entries in prop::collection::vec(("[a-z._0-9é]{1,40}", owned()), 0..20)
    ) {
        let mut expected: Vec<(String, Owned)> = vec![];
        let mut writer = GgufWriter::new();
        for (key, value) in entries {
            value.set(&mut writer, &key);
            match expected.iter_mut().find(|entry| entry.0 == key) {
                Some(entry) => entry.1 = value,
                None => expected.push((key, value)),
            }
        }
        let first = write_metadata(writer);
        let mut copy = GgufWriter::new();
        copy.copy_metadata(&first);
        for gguf in [&first, &write_metadata(copy)] {
            prop_assert_eq!(gguf.metadata().count(), expected.len());
            for ((key, value), (expected_key, expected)) in gguf.metadata().zip(&expected) {
                prop_assert_eq!(key, expected_key);
                prop_assert!(expected.is(value), "{}: {:?} became {:?}", key, expected, value);
                prop_assert_eq!(gguf.get(key), Some(value));
            }
        }
    }
}

#[test]
fn arrays_of_every_kind_are_copied() {
    let raw = Raw::new()
        .array("u8", kind::U8, 3, &[0, 1, 255])
        .array("i8", kind::I8, 2, &[0x80, 0x7f])
        .array("u16", kind::U16, 1, &[1, 2])
        .array("i16", kind::I16, 1, &[0xff, 0xff])
        .array("u32", kind::U32, 1, &7u32.to_le_bytes())
        .array("i32", kind::I32, 1, &(-7i32).to_le_bytes())
        .array("f32", kind::F32, 2, &[1.5f32.to_le_bytes(), f32::NEG_INFINITY.to_le_bytes()].concat())
        .array("bool", kind::BOOL, 2, &[1, 0])
        .array("string", kind::STRING, 2, &[string(""), string("\0é😀")].concat())
        .array("u64", kind::U64, 1, &u64::MAX.to_le_bytes())
        .array("i64", kind::I64, 1, &i64::MIN.to_le_bytes())
        .array("f64", kind::F64, 1, &1e300f64.to_le_bytes())
        .array("empty", kind::STRING, 0, &[]);
    let original = Gguf::from_bytes(raw.bytes()).unwrap();
    let mut writer = GgufWriter::new();
    writer.copy_metadata(&original);
    let copy = write_metadata(writer);

    for gguf in [&original, &copy] {
        let elements = |key| gguf.get_array(key).unwrap().unwrap().iter().collect::<Vec<_>>();
        assert_eq!(elements("u8"), [Value::U8(0), Value::U8(1), Value::U8(255)]);
        assert_eq!(elements("i8"), [Value::I8(-128), Value::I8(127)]);
        assert_eq!(elements("u16"), [Value::U16(0x0201)]);
        assert_eq!(elements("i16"), [Value::I16(-1)]);
        assert_eq!(elements("u32"), [Value::U32(7)]);
        assert_eq!(elements("i32"), [Value::I32(-7)]);
        assert_eq!(elements("f32"), [Value::F32(1.5), Value::F32(f32::NEG_INFINITY)]);
        assert_eq!(elements("bool"), [Value::Bool(true), Value::Bool(false)]);
        assert_eq!(elements("string"), [Value::String(""), Value::String("\0é😀")]);
        assert_eq!(elements("u64"), [Value::U64(u64::MAX)]);
        assert_eq!(elements("i64"), [Value::I64(i64::MIN)]);
        assert_eq!(elements("f64"), [Value::F64(1e300)]);
        assert_eq!(elements("empty"), []);
        assert_eq!(gguf.metadata().count(), 13);
    }
    // 24 bytes of header, then the keys: the same to the bit.
    assert_eq!(copy.file_len(), original.file_len());
}

#[test]
fn nan_keeps_its_bits() {
    let nan = f32::from_bits(0x7fc0_1234);
    let mut writer = GgufWriter::new();
    writer.set("nan", Value::F32(nan));
    assert_eq!(write_metadata(writer).get_f32("nan").unwrap().unwrap().to_bits(), nan.to_bits());
}

#[test]
fn setting_again_replaces_in_place_and_remove_forgets() {
    let mut writer = GgufWriter::new();
    writer.set("a", Value::U8(1));
    writer.set("b", Value::U8(2));
    writer.set_strings("c", ["x"]);
    writer.set("a", Value::String("again"));
    writer.remove("b");
    writer.remove("never set");
    let gguf = write_metadata(writer);
    let keys: Vec<_> = gguf.metadata().map(|(key, value)| (key, value.kind())).collect();
    assert_eq!(keys, [("a", ValueKind::String), ("c", ValueKind::Array)]);
}

#[test]
fn integers_of_every_width_are_usizes() {
    let mut writer = GgufWriter::new();
    let values = [
        Value::U8(200),
        Value::I8(100),
        Value::U16(60_000),
        Value::I16(30_000),
        Value::U32(4_000_000_000),
        Value::I32(2_000_000_000),
        Value::U64(1 << 40),
        Value::I64(1 << 40),
    ];
    for (i, value) in values.into_iter().enumerate() {
        writer.set(&format!("{i}"), value);
    }
    writer.set("f64", Value::F64(0.1));
    let gguf = write_metadata(writer);
    let read: Vec<_> = (0..8).map(|i| gguf.get_usize(&format!("{i}")).unwrap().unwrap()).collect();
    assert_eq!(read, [200, 100, 60_000, 30_000, 4_000_000_000, 2_000_000_000, 1 << 40, 1 << 40]);
    assert_eq!(gguf.get_f32("f64").unwrap(), Some(0.1));
}

/// The vocabulary and merges of an LFM2 model in number.
#[test]
fn big_arrays() {
    let tokens: Vec<String> = (0..65_536).map(|i| format!("Ġtoken{i}")).collect();
    let merges: Vec<String> = (0..63_683).map(|i| format!("Ġto{i} ken{i}")).collect();
    let types = vec![1; tokens.len()];
    let mut writer = GgufWriter::new();
    writer.set_strings("tokenizer.ggml.tokens", &tokens);
    writer.set_i32s("tokenizer.ggml.token_type", &types);
    writer.set_strings("tokenizer.ggml.merges", &merges);
    let gguf = write_metadata(writer);
    let strings = |key| {
        let array: Array<'_> = gguf.get_array(key).unwrap().unwrap();
        array.iter().map(|value| value.as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(strings("tokenizer.ggml.tokens"), tokens);
    assert_eq!(strings("tokenizer.ggml.merges"), merges);
    let read = gguf.get_array("tokenizer.ggml.token_type").unwrap().unwrap();
    assert_eq!((read.len(), read.iter().filter(|&v| v == Value::I32(1)).count()), (65_536, 65_536));
}

#[test]
fn version_2_reads_like_version_3() {
    let raw = Raw { version: 2, ..Raw::new() }
        .key("name", kind::STRING, &string("old"))
        .tensor("t", &[2, 3], 1, 0)
        .data((0..12).collect::<Vec<u8>>());
    let gguf = Gguf::from_bytes(raw.bytes()).unwrap();
    assert_eq!(gguf.version(), 2);
    assert_eq!(gguf.get_str("name").unwrap(), Some("old"));
    let tensor = gguf.tensor("t").unwrap();
    assert_eq!((tensor.info.ty, tensor.info.shape.as_slice()), (TensorType::F16, &[2, 3][..]));
    assert_eq!(tensor.data, (0..12).collect::<Vec<u8>>());
}

// Tensors

/// Bytes that differ between tensors and along each.
fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(31) ^ seed.wrapping_mul(97) ^ (i >> 8)) as u8).collect()
}

fn tensor() -> impl Strategy<Value = (TensorType, Vec<usize>)> {
    (prop::sample::select(TensorType::ALL.to_vec()), 1..4usize, prop::collection::vec(1..5usize, 0..4))
        .prop_map(|(ty, blocks, rest)| (ty, [vec![blocks * ty.block_len()], rest].concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tensors_come_back(
        tensors in prop::collection::vec(tensor(), 0..8),
        alignment_bits in prop::option::of(3..13u32),
        chunk in 1..5000usize,
    ) {
        let (dir, path) = temp();
        let mut writer = GgufWriter::new();
        if let Some(bits) = alignment_bits {
            writer.set("general.alignment", Value::U32(1 << bits));
        }
        let alignment = 1 << alignment_bits.unwrap_or(5);
        let plans: Vec<_> =
            tensors.iter().enumerate().map(|(i, (ty, shape))| plan(&format!("t{i}"), *ty, shape)).collect();
        let len = |p: &TensorPlan| p.ty.bytes_for(p.shape.iter().product()).unwrap();
        let mut stream = writer.create(&path, &plans).unwrap();
        for (i, plan) in plans.iter().enumerate() {
            for chunk in pattern(i, len(plan)).chunks(chunk) {
                stream.write(chunk).unwrap();
            }
        }
        stream.finish().unwrap();

        let gguf = Gguf::open(&path).unwrap();
        prop_assert_eq!(gguf.tensors().len(), plans.len());
        prop_assert_eq!(gguf.file_len() % alignment, 0);
        for (i, (plan, info)) in plans.iter().zip(gguf.tensors()).enumerate() {
            prop_assert_eq!((&info.name, info.ty, &info.shape), (&plan.name, plan.ty, &plan.shape));
            prop_assert_eq!(info.offset % alignment, 0);
            prop_assert_eq!(gguf.data(info), pattern(i, len(plan)));
            let found = gguf.tensor(&plan.name).unwrap();
            prop_assert_eq!((found.info, found.data.as_ptr()), (info, gguf.data(info).as_ptr()));
        }
        prop_assert!(gguf.tensor("absent").is_none());
        prop_assert_eq!(names_in(&dir), ["model.gguf"]);
    }
}

#[test]
fn a_file_without_tensors_is_a_file() {
    let gguf = write_metadata(GgufWriter::new());
    assert_eq!((gguf.version(), gguf.tensors().len(), gguf.metadata().count()), (3, 0, 0));
}

#[test]
fn gaps_between_tensors_and_any_order_in_the_file_are_allowed() {
    let raw = Raw::new().tensor("b", &[1], 0, 128).tensor("a", &[1], 0, 0).data(pattern(0, 132));
    let gguf = Gguf::from_bytes(raw.bytes()).unwrap();
    assert_eq!(gguf.tensor("a").unwrap().data, pattern(0, 4));
    assert_eq!(gguf.tensor("b").unwrap().data, &pattern(0, 132)[128..]);
}

// What the writer refuses

#[track_caller]
fn create_refused(writer: GgufWriter, plans: &[TensorPlan], message: &str) {
    let (dir, path) = temp();
    match writer.create(&path, plans) {
        Err(Error::Gguf(e)) => assert!(e.to_string().contains(message), "{e}"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    }
    assert!(names_in(&dir).is_empty());
}

#[test]
fn plans_that_no_file_can_hold_are_refused() {
    use TensorType::*;
    let refused = |plans: &[TensorPlan], message| create_refused(GgufWriter::new(), plans, message);
    refused(&[plan("t", F32, &[1]), plan("t", F32, &[2])], "tensor 't': expected once");
    refused(&[plan(&"n".repeat(64), F32, &[1])], "tensor 0: expected a name of 1 to 63 bytes, found 64");
    refused(&[plan("", F32, &[1])], "tensor 0");
    refused(&[plan("t", F32, &[])], "expected 1 to 4 dimensions, found 0");
    refused(&[plan("t", F32, &[1; 5])], "found 5");
    refused(&[plan("t", F32, &[3, 0])], "found shape [3, 0]");
    refused(&[plan("t", Q4_0, &[33])], "multiple of 32 for Q4_0, found 33");
    refused(&[plan("t", F32, &[1 << 40, 1 << 40])], "tensor 't': expected a size that can be addressed");
    let quarter = ["a", "b", "c", "d"].map(|name| plan(name, F32, &[1 << 60]));
    refused(&quarter, "tensor 'd': expected a size that can be addressed");
    refused(&vec![plan("t", F32, &[1]); 65_537], "number of tensors: expected at most");
}

#[test]
fn keys_and_alignments_that_no_file_can_hold_are_refused() {
    let refused = |key: &str, value, message| {
        let mut writer = GgufWriter::new();
        writer.set(key, value);
        create_refused(writer, &[], message);
    };
    refused("", Value::U8(0), "metadata key 0: expected a name of 1 to 65535 bytes, found 0");
    refused(&"k".repeat(65_536), Value::U8(0), "found 65536");
    refused("general.alignment", Value::U32(48), "'general.alignment': expected a power of two");
    refused("general.alignment", Value::String("32"), "found string '32'");
}

#[test]
#[should_panic(expected = "5 bytes written to tensor 't', which lacks 4")]
fn too_many_bytes() {
    let (_dir, path) = temp();
    let mut stream = GgufWriter::new().create(&path, &[plan("t", TensorType::F32, &[1])]).unwrap();
    stream.write(&[0; 5]).unwrap();
}

#[test]
#[should_panic(expected = "1 bytes written past the last tensor")]
fn bytes_past_the_last_tensor() {
    let (_dir, path) = temp();
    let mut stream = GgufWriter::new().create(&path, &[plan("t", TensorType::F32, &[1])]).unwrap();
    stream.write(&[0; 4]).unwrap();
    stream.write(&[0; 1]).unwrap();
}

// What failure leaves behind: nothing

#[test]
fn dropped_unfinished_leaves_nothing() {
    let (dir, path) = temp();
    let mut stream = GgufWriter::new().create(&path, &[plan("t", TensorType::F32, &[1 << 18])]).unwrap();
    assert_eq!(names_in(&dir), [format!(".model.gguf.{}.tmp", std::process::id())]);
    stream.write(&vec![0; 1 << 20]).unwrap();
    drop(stream);
    assert!(names_in(&dir).is_empty());
}

#[test]
fn finished_too_early_is_an_error_and_leaves_nothing() {
    let (dir, path) = temp();
    let plans = [plan("a", TensorType::F32, &[2]), plan("b", TensorType::F32, &[2])];
    let mut stream = GgufWriter::new().create(&path, &plans).unwrap();
    stream.write(&[0; 8]).unwrap();
    stream.write(&[0; 3]).unwrap();
    let Err(Error::Gguf(e)) = stream.finish() else { panic!("finished") };
    assert_eq!(e, GgufError::Incomplete { tensor: "b".into(), expected: 8, found: 3 });
    assert!(names_in(&dir).is_empty());
}

#[test]
fn the_old_file_stays_until_the_new_one_is_whole() {
    let (dir, path) = temp();
    let write = |byte| {
        let mut stream = GgufWriter::new().create(&path, &[plan("t", TensorType::F32, &[1])]).unwrap();
        stream.write(&[byte; 4]).unwrap();
        stream
    };
    write(1).finish().unwrap();
    let old = Gguf::open(&path).unwrap();
    let stream = write(2);
    assert_eq!(Gguf::open(&path).unwrap().tensor("t").unwrap().data, [1; 4]);
    stream.finish().unwrap();
    assert_eq!(Gguf::open(&path).unwrap().tensor("t").unwrap().data, [2; 4]);
    assert_eq!(old.tensor("t").unwrap().data, [1; 4], "the open map still shows the old file");
    assert_eq!(names_in(&dir), ["model.gguf"]);
}

#[test]
fn a_temporary_file_left_by_a_killed_process_is_no_obstacle() {
    let (dir, path) = temp();
    let stale = dir.path().join(format!(".model.gguf.{}.tmp", std::process::id()));
    fs::write(&stale, "stale").unwrap();
    GgufWriter::new().create(&path, &[]).unwrap().finish().unwrap();
    assert_eq!(fs::read(&stale).unwrap(), b"stale");
    assert!(Gguf::open(&path).is_ok());
}

#[track_caller]
fn io_error<T>(result: brooklet::Result<T>) -> String {
    match result {
        Err(error @ Error::Io { .. }) => error.to_string(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn destinations_that_are_no_files_are_refused_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let create = |path: &Path| io_error(GgufWriter::new().create(path, &[]));
    assert!(create(dir.path()).contains("it is a directory"));
    assert!(create(Path::new("..")).contains("it names no file"));
    assert!(create(&dir.path().join("absent/model.gguf")).contains("cannot create"));
    #[cfg(unix)]
    assert!(create(Path::new("/dev/null")).contains("it is not a regular file"));
    assert!(names_in(&dir).is_empty());
}

#[test]
fn a_vanished_directory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sub/model.gguf");
    fs::create_dir(dir.path().join("sub")).unwrap();
    let stream = GgufWriter::new().create(&path, &[]).unwrap();
    fs::remove_dir_all(dir.path().join("sub")).unwrap();
    let error = io_error(stream.finish());
    assert!(error.contains(&format!("cannot rename onto {}", path.display())), "{error}");
}

/// A full disk, as far as a test can have one: this test runs itself again under a limit on the size
/// of files, beyond which `write` fails as it does on a full disk.
#[cfg(unix)]
#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    const DIR: &str = "BROOKLET_TEST_LIMITED_DIR";
    if let Some(dir) = std::env::var_os(DIR) {
        let path = Path::new(&dir).join("model.gguf");
        let mut stream = GgufWriter::new().create(&path, &[plan("t", TensorType::F32, &[1 << 20])]).unwrap();
        let mut chunks = (0..64).map(|_| stream.write(&[0; 1 << 16]));
        let error = io_error(chunks.find(|result| result.is_err()).expect("4 MiB went under a limit of 1"));
        assert!(error.contains(&format!("cannot write {}", path.display())), "{error}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("model.gguf"), "the old file").unwrap();
    let output = std::process::Command::new("sh")
        // Half a MiB in POSIX's units of 512 bytes, a whole one in bash's of 1024.
        .args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_full_disk_is_an_error_and_leaves_nothing"])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("1 passed"), "{stdout}");
    assert_eq!(names_in(&dir), ["model.gguf"]);
    assert_eq!(fs::read(dir.path().join("model.gguf")).unwrap(), b"the old file");
}
