#![no_main]

#[path = "../../tests/common/target_convert.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    target::adapter_config(bytes);
});
