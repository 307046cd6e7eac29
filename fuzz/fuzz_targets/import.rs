//! See `coffer_fuzz::import`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| coffer_fuzz::import(data));
