//! See `coffer_fuzz::ciphertext`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| coffer_fuzz::ciphertext(data));
