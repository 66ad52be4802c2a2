//! What the writer writes, the reader reads back.

use brooklet::Gguf;
use brooklet::gguf::{GgufWriter, TensorPlan, Value};
use brooklet_kernels::TensorType;

#[test]
fn metadata_and_tensors_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let mut writer = GgufWriter::new();
    writer.set("general.architecture", Value::String("lfm2"));
    writer.set("lfm2.block_count", Value::U32(16));
    writer.set_strings("tokenizer.ggml.tokens", ["a", "", "é"]);
    let plan = [
        TensorPlan { name: "a".into(), ty: TensorType::F32, shape: vec![3, 2] },
        TensorPlan { name: "b".into(), ty: TensorType::Q8_0, shape: vec![32] },
    ];
    let mut stream = writer.create(&path, &plan).unwrap();
    stream.write(&[1; 20]).unwrap();
    stream.write(&[2; 4]).unwrap();
    stream.write(&[3; 34]).unwrap();
    stream.finish().unwrap();

    let gguf = Gguf::open(&path).unwrap();
    assert_eq!(gguf.version(), 3);
    assert_eq!(gguf.get_str("general.architecture").unwrap(), Some("lfm2"));
    assert_eq!(gguf.get_usize("lfm2.block_count").unwrap(), Some(16));
    let tokens: Vec<_> = gguf.get_array("tokenizer.ggml.tokens").unwrap().unwrap().iter().collect();
    assert_eq!(tokens, [Value::String("a"), Value::String(""), Value::String("é")]);
    let a = gguf.tensor("a").unwrap();
    assert_eq!((a.info.ty, a.info.shape.as_slice(), a.info.offset % 32), (TensorType::F32, &[3, 2][..], 0));
    assert_eq!(a.data[..20], [1; 20]);
    assert_eq!(a.data[20..], [2; 4]);
    assert_eq!(gguf.tensor("b").unwrap().data, [3; 34]);
    assert!(gguf.tensor("c").is_none());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
