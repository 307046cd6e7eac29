//! The whole service from outside: HTTP in process on a real store, and real processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::needless_pass_by_value,
    clippy::disallowed_methods,
    reason = "a test may stop, print, and look behind the door"
)]

mod process;
mod tidy;
mod walk;
mod world;
