//! The fuzz target for GGUF, run by the mutation driver and by cargo-fuzz.

use brooklet::Gguf;
use brooklet::gguf::{Value, ValueKind};

/// Opens `bytes` and, where that succeeds, walks all there is. True if the file was accepted.
///
/// # Panics
/// Where an accepted file breaks a promise, or a message is not fit to print.
pub fn gguf(bytes: &[u8]) -> bool {
    let gguf = match Gguf::from_bytes(bytes.to_vec()) {
        Ok(gguf) => gguf,
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 4096, "a message of {} bytes", text.len());
            assert!(!text.contains(char::is_control), "{text:?}");
            return false;
        }
    };
    assert_eq!(gguf.file_len(), bytes.len());
    for (key, value) in gguf.metadata() {
        // Bits, not values: a NaN is not equal to itself.
        assert_eq!(format!("{:?}", gguf.get(key).unwrap()), format!("{value:?}"));
        if let Value::Array(array) = value {
            assert_ne!(array.kind(), ValueKind::Array);
            assert!(array.iter().all(|element| element.kind() == array.kind()));
            assert_eq!(array.iter().count(), array.len());
        }
        assert!(value.to_string().len() < 4096);
        // Errors or not, these have to come back.
        let _ = (gguf.get_usize(key), gguf.get_f32(key), gguf.get_bool(key));
        let _ = (gguf.get_str(key), gguf.get_array(key));
    }
    let mut ranges = Vec::new();
    for info in gguf.tensors() {
        assert!((1..=4).contains(&info.shape.len()));
        let elements = info.shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim)).unwrap();
        assert!(elements > 0);
        assert_eq!(info.shape[0] % info.ty.block_len(), 0);
        assert_eq!(info.ty.bytes_for(elements), Some(info.len));
        let data = gguf.data(info);
        assert_eq!(data.len(), info.len);
        assert_eq!(data, &bytes[info.offset..][..info.len]);
        assert_eq!(gguf.tensor(&info.name).unwrap().info, info);
        ranges.push(info.offset..info.offset + info.len);
    }
    ranges.sort_unstable_by_key(|range| range.start);
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "tensors overlap");
    true
}
