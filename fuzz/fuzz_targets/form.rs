#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| madang::fuzz::form(data));
