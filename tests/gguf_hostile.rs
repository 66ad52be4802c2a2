//! Hostile GGUF files, one test an attack: each is refused with the error that names the thing.

#[path = "common/raw_gguf.rs"]
mod raw_gguf;

use brooklet::gguf::GgufError;
use brooklet::{Error, Gguf};
use brooklet_kernels::TensorType;
use raw_gguf::{Raw, kind, string};

/// Opens `bytes`, which must fail with `expected` and say `message`.
#[track_caller]
fn refused(bytes: Vec<u8>, expected: GgufError, message: &str) {
    match Gguf::from_bytes(bytes) {
        Err(Error::Gguf(found)) => {
            assert_eq!(found, expected);
            let text = found.to_string();
            assert!(text.contains(message), "{text:?} does not say {message:?}");
        }
        Err(other) => panic!("expected {expected:?}, found {other:?}"),
        Ok(_) => panic!("expected {expected:?}, but the file was accepted"),
    }
}

fn key_error(key: &str, expected: &str, found: &str) -> GgufError {
    GgufError::Key { key: key.into(), expected: expected.into(), found: found.into() }
}

/// Two tensors of 8 and 4 floats, a string, an array of strings: the file the attacks start from.
fn honest() -> Raw {
    Raw::new()
        .key("general.architecture", kind::STRING, &string("lfm2"))
        .array("words", kind::STRING, 2, &[string("a"), string("bc")].concat())
        .tensor("t.a", &[4, 2], 0, 0)
        .tensor("t.b", &[4], 0, 32)
        .data(vec![1; 48])
}

#[test]
fn the_honest_file_opens() {
    let gguf = Gguf::from_bytes(honest().bytes()).unwrap();
    assert_eq!(gguf.tensors().len(), 2);
    assert_eq!(gguf.get_str("general.architecture").unwrap(), Some("lfm2"));
}

// Header

#[test]
fn empty_file() {
    refused(vec![], GgufError::Magic { found: "nothing".into() }, "not a GGUF file");
}

#[test]
fn wrong_magic() {
    let found = r#""PK\x03\x04""#.to_string();
    refused(
        b"PK\x03\x04............".to_vec(),
        GgufError::Magic { found },
        r#"start with "GGUF", found "PK\x03\x04""#,
    );
}

#[test]
fn magic_cut_short() {
    refused(b"GGU".to_vec(), GgufError::Magic { found: "\"GGU\"".into() }, "\"GGU\"");
}

#[test]
fn ends_after_the_magic() {
    refused(
        b"GGUF\x03\x00".to_vec(),
        GgufError::Truncated { what: "the version".into(), offset: 4, expected: 4, found: 2 },
        "the version needs 4 bytes at offset 4, but 2 are left",
    );
}

#[test]
fn version_1() {
    refused(
        Raw { version: 1, ..honest() }.bytes(),
        GgufError::Version { found: 1 },
        "expected 2 or 3, found 1",
    );
}

#[test]
fn version_from_the_future() {
    refused(Raw { version: 4, ..honest() }.bytes(), GgufError::Version { found: 4 }, "found 4");
}

#[test]
fn big_endian() {
    refused(
        Raw { version: 3u32.swap_bytes(), ..honest() }.bytes(),
        GgufError::BigEndian { version: 3 },
        "big-endian",
    );
}

#[test]
fn more_tensors_than_the_file_could_hold() {
    let bytes = Raw { tensor_count: Some(u64::MAX), ..honest() }.bytes();
    let limit = (bytes.len() as u64 - 16) / 33;
    refused(
        bytes,
        GgufError::Count { what: "number of tensors".into(), limit, found: u64::MAX },
        "number of tensors: expected at most",
    );
}

#[test]
fn more_keys_than_the_file_could_hold() {
    let bytes = Raw { key_count: Some(1 << 40), ..honest() }.bytes();
    let limit = (bytes.len() as u64 - 24) / 14;
    refused(
        bytes,
        GgufError::Count { what: "number of metadata keys".into(), limit, found: 1 << 40 },
        "number of metadata keys: expected at most",
    );
}

#[test]
fn more_keys_than_any_model_has() {
    // Room for a million keys, so only the fixed cap is left to refuse them.
    let bytes = Raw { key_count: Some(1_000_000), ..Raw::new() }.data(vec![0; 14_000_000]).bytes();
    refused(
        bytes,
        GgufError::Count { what: "number of metadata keys".into(), limit: 65_536, found: 1_000_000 },
        "at most 65536",
    );
}

#[test]
fn one_key_more_than_there_is() {
    // The first tensor's row is then read as a key: the error lies where sense ends.
    let bytes = Raw { key_count: Some(3), ..honest() }.bytes();
    assert!(matches!(Gguf::from_bytes(bytes), Err(Error::Gguf(_))));
}

// Metadata

#[test]
fn key_name_of_endless_length() {
    let name = [&u64::MAX.to_le_bytes()[..], b"abcdefgh"].concat();
    refused(
        Raw::new().raw_key(name).bytes(),
        GgufError::KeyName { index: 0, limit: 65_535, found: u64::MAX },
        "metadata key 0: expected a name of 1 to 65535 bytes",
    );
}

#[test]
fn key_name_of_65536_bytes() {
    refused(
        Raw::new().key(vec![b'a'; 65_536], kind::U8, &[1]).bytes(),
        GgufError::KeyName { index: 0, limit: 65_535, found: 65_536 },
        "found 65536",
    );
}

#[test]
fn key_name_beyond_the_end() {
    let mut bytes = Raw { key_count: Some(1), alignment: 1, ..Raw::new() }.bytes();
    bytes.extend(1000u64.to_le_bytes());
    bytes.extend(b"abcdefgh");
    refused(
        bytes,
        GgufError::Truncated {
            what: "the name of metadata key 0".into(),
            offset: 32,
            expected: 1000,
            found: 8,
        },
        "the name of metadata key 0 needs 1000 bytes",
    );
}

#[test]
fn empty_key_name() {
    refused(
        Raw::new().key("", kind::U8, &[1]).bytes(),
        GgufError::KeyName { index: 0, limit: 65_535, found: 0 },
        "found 0",
    );
}

#[test]
fn key_name_that_is_not_utf8() {
    refused(
        Raw::new().key(b"ab\xff", kind::U8, &[1]).bytes(),
        GgufError::Utf8 { what: "the name of metadata key 0".into(), at: 2, len: 3 },
        "the name of metadata key 0: expected UTF-8",
    );
}

#[test]
fn duplicate_key() {
    refused(
        honest().key("words", kind::U8, &[1]).bytes(),
        GgufError::DuplicateKey { key: "words".into() },
        "'words'",
    );
}

#[test]
fn unknown_value_kind() {
    refused(
        honest().key("odd", 13, &[1]).bytes(),
        GgufError::ValueKind { key: "odd".into(), found: 13 },
        "'odd': expected a value kind of 0 to 12, found 13",
    );
}

#[test]
fn unknown_element_kind() {
    refused(
        honest().array("odd", u32::MAX, 0, &[]).bytes(),
        GgufError::ValueKind { key: "odd".into(), found: u32::MAX },
        "'odd'",
    );
}

#[test]
fn nested_array() {
    refused(
        honest().array("nest", kind::ARRAY, 1, &[0; 16]).bytes(),
        GgufError::NestedArray { key: "nest".into() },
        "'nest'",
    );
}

#[test]
fn nested_arrays_a_million_deep() {
    let deep = kind::ARRAY.to_le_bytes().repeat(1 << 20);
    refused(
        Raw::new().key("deep", kind::ARRAY, &deep).bytes(),
        GgufError::NestedArray { key: "deep".into() },
        "'deep'",
    );
}

#[test]
fn bool_of_two() {
    refused(
        honest().key("flag", kind::BOOL, &[2]).bytes(),
        GgufError::Bool { key: "flag".into(), found: 2 },
        "'flag': expected a bool of 0 or 1, found 2",
    );
}

#[test]
fn bool_of_255_in_an_array() {
    refused(
        honest().array("flags", kind::BOOL, 3, &[0, 1, 255]).bytes(),
        GgufError::Bool { key: "flags".into(), found: 255 },
        "'flags'",
    );
}

#[test]
fn string_value_that_is_not_utf8() {
    refused(
        honest().key("text", kind::STRING, &string(b"\xc3\x28")).bytes(),
        GgufError::Utf8 { what: "string 0 of metadata key 'text'".into(), at: 0, len: 2 },
        "'text'",
    );
}

#[test]
fn string_element_that_is_not_utf8() {
    let elements = [string("ok"), string(b"\xf0\x9f\x98")].concat();
    refused(
        honest().array("texts", kind::STRING, 2, &elements).bytes(),
        GgufError::Utf8 { what: "string 1 of metadata key 'texts'".into(), at: 0, len: 3 },
        "string 1 of metadata key 'texts'",
    );
}

#[test]
fn string_value_beyond_the_end() {
    let bytes = Raw { alignment: 1, ..Raw::new() }
        .key("text", kind::STRING, &[&(1u64 << 63).to_le_bytes()[..], b"abc"].concat())
        .bytes();
    refused(
        bytes.clone(),
        GgufError::Truncated {
            what: "string 0 of metadata key 'text'".into(),
            offset: bytes.len() - 3,
            expected: 1 << 63,
            found: 3,
        },
        "'text'",
    );
}

#[test]
fn array_of_more_numbers_than_the_file_could_hold() {
    let bytes =
        Raw { alignment: 1, ..Raw::new() }.array("big", kind::U64, u64::MAX / 8 + 2, &[0; 80]).bytes();
    refused(
        bytes,
        GgufError::Count {
            what: "number of elements of metadata key 'big'".into(),
            limit: 10,
            found: u64::MAX / 8 + 2,
        },
        "'big'",
    );
}

#[test]
fn array_of_more_strings_than_the_file_could_hold() {
    let bytes = Raw { alignment: 1, ..Raw::new() }.array("big", kind::STRING, u64::MAX, &[0; 80]).bytes();
    refused(
        bytes,
        GgufError::Count {
            what: "number of elements of metadata key 'big'".into(),
            limit: 10,
            found: u64::MAX,
        },
        "'big'",
    );
}

#[test]
fn array_with_one_string_missing() {
    let elements = [string("abcdefghij"), string("a")].concat();
    let bytes = Raw { alignment: 1, ..Raw::new() }.array("words", kind::STRING, 3, &elements).bytes();
    refused(
        bytes.clone(),
        GgufError::Truncated {
            what: "string 2 of metadata key 'words'".into(),
            offset: bytes.len(),
            expected: 8,
            found: 0,
        },
        "string 2 of metadata key 'words'",
    );
}

#[test]
fn number_cut_short() {
    let bytes = Raw { alignment: 1, ..Raw::new() }.key("number", kind::U64, &[1, 2, 3]).bytes();
    refused(
        bytes.clone(),
        GgufError::Truncated {
            what: "metadata key 'number'".into(),
            offset: bytes.len() - 3,
            expected: 8,
            found: 3,
        },
        "'number' needs 8 bytes",
    );
}

#[test]
fn key_of_escape_sequences_and_endless_length_stays_printable() {
    let name = "\x1b[2J\u{202e}".repeat(5000);
    let bytes = honest().key(&name, 99, &[]).bytes();
    let Err(error) = Gguf::from_bytes(bytes) else { panic!("accepted") };
    let text = error.to_string();
    assert!(text.contains("\\u{1b}[2J\\u{202e}"), "{text}");
    assert!(!text.contains(['\x1b', '\u{202e}']));
    assert!(text.len() < 1000, "{} bytes", text.len());
}

// Alignment

const ALIGNMENT: &str = "general.alignment";
const ALIGNMENTS: &str = "a power of two from 8 to 1048576";

#[track_caller]
fn alignment_refused(kind: u32, value: &[u8], found: &str) {
    refused(honest().key(ALIGNMENT, kind, value).bytes(), key_error(ALIGNMENT, ALIGNMENTS, found), found);
}

#[test]
fn alignment_of_zero() {
    alignment_refused(kind::U32, &0u32.to_le_bytes(), "u32 0");
}

#[test]
fn alignment_that_is_no_power_of_two() {
    alignment_refused(kind::U32, &24u32.to_le_bytes(), "u32 24");
}

#[test]
fn alignment_below_8() {
    alignment_refused(kind::U32, &4u32.to_le_bytes(), "u32 4");
}

#[test]
fn alignment_of_two_to_the_63() {
    alignment_refused(kind::U64, &(1u64 << 63).to_le_bytes(), "u64 9223372036854775808");
}

#[test]
fn negative_alignment() {
    alignment_refused(kind::I32, &(-32i32).to_le_bytes(), "i32 -32");
}

#[test]
fn alignment_that_is_a_string() {
    alignment_refused(kind::STRING, &string("32"), "string '32'");
}

// Tensor index

#[test]
fn tensor_name_of_64_bytes() {
    refused(
        Raw::new().tensor([b'a'; 64], &[4], 0, 0).data([0; 16]).bytes(),
        GgufError::TensorName { index: 0, limit: 63, found: 64 },
        "tensor 0: expected a name of 1 to 63 bytes, found 64",
    );
}

#[test]
fn tensor_name_of_endless_length() {
    refused(
        Raw::new().raw_tensor([&[0xff; 8][..], &[b'a'; 40]].concat()).bytes(),
        GgufError::TensorName { index: 0, limit: 63, found: u64::MAX },
        "tensor 0",
    );
}

#[test]
fn empty_tensor_name() {
    refused(
        Raw::new().tensor("", &[4], 0, 0).data([0; 16]).bytes(),
        GgufError::TensorName { index: 0, limit: 63, found: 0 },
        "found 0",
    );
}

#[test]
fn tensor_name_that_is_not_utf8() {
    refused(
        Raw::new().tensor(b"\x80", &[4], 0, 0).data([0; 16]).bytes(),
        GgufError::Utf8 { what: "the name of tensor 0".into(), at: 0, len: 1 },
        "the name of tensor 0",
    );
}

#[test]
fn duplicate_tensor() {
    refused(
        honest().tensor("t.a", &[4], 0, 64).data([0; 80]).bytes(),
        GgufError::DuplicateTensor { tensor: "t.a".into() },
        "'t.a'",
    );
}

#[test]
fn tensor_without_dimensions() {
    refused(
        honest().tensor("t.c", &[], 0, 64).bytes(),
        GgufError::DimensionCount { tensor: "t.c".into(), found: 0 },
        "'t.c': expected 1 to 4 dimensions, found 0",
    );
}

#[test]
fn tensor_of_five_dimensions() {
    refused(
        honest().tensor("t.c", &[1, 1, 1, 1, 1], 0, 64).bytes(),
        GgufError::DimensionCount { tensor: "t.c".into(), found: 5 },
        "'t.c'",
    );
}

#[test]
fn tensor_of_four_billion_dimensions() {
    let row = [string("t.c").as_slice(), &u32::MAX.to_le_bytes(), &[0; 64]].concat();
    refused(
        honest().raw_tensor(row).bytes(),
        GgufError::DimensionCount { tensor: "t.c".into(), found: u32::MAX.into() },
        "found 4294967295",
    );
}

#[test]
fn zero_dimension() {
    refused(
        honest().tensor("t.c", &[4, 0], 0, 64).bytes(),
        GgufError::ZeroDimension { tensor: "t.c".into(), shape: vec![4, 0] },
        "'t.c': expected dimensions of at least 1, found shape [4, 0]",
    );
}

#[test]
fn zero_dimension_hides_an_overflow() {
    refused(
        honest().tensor("t.c", &[u64::MAX, u64::MAX, 0], 0, 64).bytes(),
        GgufError::ZeroDimension { tensor: "t.c".into(), shape: vec![u64::MAX, u64::MAX, 0] },
        "'t.c'",
    );
}

#[test]
fn element_count_that_wraps_to_zero() {
    let shape = vec![1 << 32, 1 << 32];
    refused(
        honest().tensor("t.c", &shape, 0, 64).bytes(),
        GgufError::TooLarge { tensor: "t.c".into(), shape },
        "'t.c': expected a size that can be addressed",
    );
}

#[test]
fn byte_size_that_overflows() {
    let shape = vec![1 << 62];
    refused(
        honest().tensor("t.c", &shape, 0, 64).bytes(),
        GgufError::TooLarge { tensor: "t.c".into(), shape },
        "[4611686018427387904]",
    );
}

#[test]
fn element_count_that_is_negative_in_ggml() {
    let shape = vec![1 << 63];
    refused(
        honest().tensor("t.c", &shape, 2, 64).bytes(),
        GgufError::TooLarge { tensor: "t.c".into(), shape },
        "'t.c'",
    );
}

#[test]
fn row_that_is_no_multiple_of_the_block() {
    refused(
        honest().tensor("t.c", &[48, 2], 8, 64).bytes(),
        GgufError::RowLength { tensor: "t.c".into(), ty: TensorType::Q8_0, found: 48 },
        "'t.c': expected a row length that is a multiple of 32 for Q8_0, found 48",
    );
}

#[test]
fn rows_that_make_whole_blocks_only_together() {
    refused(
        honest().tensor("t.c", &[128, 2], 12, 64).bytes(),
        GgufError::RowLength { tensor: "t.c".into(), ty: TensorType::Q4_K, found: 128 },
        "multiple of 256 for Q4_K, found 128",
    );
}

#[track_caller]
fn type_refused(id: u32, found: &str) {
    refused(
        honest().tensor("t.c", &[256], id, 64).data([0; 4096]).bytes(),
        GgufError::TensorType { tensor: "t.c".into(), found: found.into() },
        &format!("'t.c': brooklet does not run {found}; types that run: F32, F16, Q4_0"),
    );
}

#[test]
fn type_that_ggml_has_and_brooklet_does_not() {
    type_refused(17, "IQ2_XS (type 17)");
}

#[test]
fn type_that_ggml_removed() {
    type_refused(4, "Q4_2 (type 4)");
}

#[test]
fn types_newer_than_most_readers() {
    type_refused(39, "MXFP4 (type 39)");
    type_refused(40, "NVFP4 (type 40)");
    type_refused(41, "Q1_0 (type 41)");
    type_refused(42, "Q2_0 (type 42)");
}

#[test]
fn type_that_nobody_knows() {
    type_refused(43, "the unknown type 43");
    type_refused(u32::MAX, "the unknown type 4294967295");
}

#[test]
fn every_type_id_is_either_run_or_named() {
    for id in 0..43 {
        let bytes = Raw::new().tensor("t", &[256], id, 0).data([0; 1024]).bytes();
        match Gguf::from_bytes(bytes) {
            Ok(gguf) => assert_eq!(gguf.tensors()[0].ty.id(), id),
            Err(e) => assert!(!e.to_string().contains("unknown"), "{e}"),
        }
    }
}

// Tensor data

#[test]
fn misaligned_offset() {
    refused(
        honest().tensor("t.c", &[4], 0, 52).data([0; 128]).bytes(),
        GgufError::Misaligned { tensor: "t.c".into(), alignment: 32, found: 52 },
        "'t.c': expected an offset that is a multiple of 32, found 52",
    );
}

#[test]
fn offset_aligned_to_32_where_the_file_says_64() {
    let raw = Raw { alignment: 64, ..honest() }.key(ALIGNMENT, kind::U32, &64u32.to_le_bytes());
    refused(
        raw.bytes(),
        GgufError::Misaligned { tensor: "t.b".into(), alignment: 64, found: 32 },
        "multiple of 64",
    );
}

#[test]
fn data_one_byte_short() {
    let mut bytes = honest().bytes();
    bytes.pop();
    let (file_len, offset) = (bytes.len(), bytes.len() as u64 - 15);
    refused(
        bytes,
        GgufError::OutOfBounds { tensor: "t.b".into(), len: 16, offset, file_len },
        "'t.b': expected 16 bytes of data at offset",
    );
}

#[test]
fn no_data_at_all() {
    let bytes = honest().data([]).bytes();
    let (file_len, offset) = (bytes.len(), bytes.len() as u64);
    refused(
        bytes,
        GgufError::OutOfBounds { tensor: "t.a".into(), len: 32, offset, file_len },
        "the file ends at",
    );
}

#[test]
fn offset_that_overflows() {
    let found = u64::MAX - 31;
    let bytes = honest().tensor("t.c", &[4], 0, found).bytes();
    let file_len = bytes.len();
    refused(
        bytes,
        GgufError::OutOfBounds { tensor: "t.c".into(), len: 16, offset: u64::MAX, file_len },
        "'t.c'",
    );
}

#[test]
fn offset_that_points_back_into_the_header_by_wrapping() {
    let bytes = honest().tensor("t.c", &[4], 0, 0u64.wrapping_sub(64)).bytes();
    let Err(Error::Gguf(GgufError::OutOfBounds { tensor, .. })) = Gguf::from_bytes(bytes) else {
        panic!("not refused as out of bounds");
    };
    assert_eq!(tensor, "t.c");
}

#[test]
fn gigantic_tensor() {
    let bytes = honest().tensor("t.c", &[1 << 40], 0, 64).bytes();
    let (file_len, offset) = (bytes.len(), bytes.len() as u64 - 48 + 64);
    let tensor = "t.c".into();
    match usize::try_from(1u64 << 42) {
        Ok(len) => {
            refused(bytes, GgufError::OutOfBounds { tensor, len, offset, file_len }, "4398046511104 bytes");
        }
        // With 32 bits no memory is so long, wherever it begins.
        Err(_) => refused(bytes, GgufError::TooLarge { tensor, shape: vec![1 << 40] }, "1099511627776"),
    }
}

#[test]
fn two_tensors_on_the_same_bytes() {
    let bytes = honest().tensor("t.c", &[4], 0, 32).bytes();
    let Err(Error::Gguf(GgufError::Overlap { first, second })) = Gguf::from_bytes(bytes) else {
        panic!("not refused as an overlap");
    };
    assert_eq!([first.as_str(), &second].iter().filter(|name| ["t.b", "t.c"].contains(name)).count(), 2);
}

#[test]
fn tensor_that_begins_inside_another() {
    refused(
        Raw::new().tensor("late", &[4], 0, 32).tensor("early", &[16], 0, 0).data([0; 64]).bytes(),
        GgufError::Overlap { first: "early".into(), second: "late".into() },
        "'late': expected its data after that of 'early'",
    );
}

#[test]
fn tensor_that_hides_inside_a_larger_one() {
    refused(
        Raw::new()
            .tensor("whole", &[64], 0, 0)
            .tensor("inner", &[4], 0, 64)
            .tensor("after", &[4], 0, 256)
            .data([0; 272])
            .bytes(),
        GgufError::Overlap { first: "whole".into(), second: "inner".into() },
        "'inner'",
    );
}

// Whole files

#[test]
fn every_truncation_is_refused() {
    let whole = honest().bytes();
    for len in 0..whole.len() {
        assert!(Gguf::from_bytes(whole[..len].to_vec()).is_err(), "{len} of {} bytes", whole.len());
    }
}

#[test]
fn missing_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("absent.gguf");
    let Err(error @ Error::Io { .. }) = Gguf::open(&path) else { panic!("opened") };
    assert!(error.to_string().starts_with(&format!("cannot open {}", path.display())), "{error}");
}

#[test]
fn directory() {
    let dir = tempfile::tempdir().unwrap();
    let Err(error @ Error::Io { .. }) = Gguf::open(dir.path()) else { panic!("opened") };
    assert!(error.to_string().contains("directory"), "{error}");
}

#[test]
fn empty_mapped_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let Err(Error::Gguf(error)) = Gguf::open(file.path()) else { panic!("opened") };
    assert_eq!(error, GgufError::Magic { found: "nothing".into() });
}

// Accessors

#[test]
fn accessors_name_key_expected_and_found() {
    let gguf = Gguf::from_bytes(honest().key("n", kind::I32, &(-1i32).to_le_bytes()).bytes()).unwrap();
    let error = |result: Result<(), Error>| match result {
        Err(Error::Gguf(e)) => e,
        other => panic!("{other:?}"),
    };
    for (found, expected) in [
        (error(gguf.get_usize("n").map(drop)), key_error("n", "a non-negative integer", "i32 -1")),
        (error(gguf.get_f32("n").map(drop)), key_error("n", "a float", "i32 -1")),
        (error(gguf.get_bool("n").map(drop)), key_error("n", "a bool", "i32 -1")),
        (error(gguf.get_str("words").map(drop)), key_error("words", "a string", "array of 2 string")),
        (
            error(gguf.get_array("general.architecture").map(drop)),
            key_error("general.architecture", "an array", "string 'lfm2'"),
        ),
    ] {
        assert_eq!(found, expected);
    }
    assert_eq!(gguf.get_usize("absent").unwrap(), None);
}
