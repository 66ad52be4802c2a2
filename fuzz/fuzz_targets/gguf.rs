#![no_main]

#[path = "../../tests/common/target_gguf.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    target::gguf(bytes);
});
