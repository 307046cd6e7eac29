//! Tells whoever runs plain `cargo test` which suites it leaves out. No harness, so that it is seen.

#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "this is all it does")]
fn main() {
    if std::env::var_os("COFFER_TEST_SCRIPT").is_none() {
        println!("skipped by plain `cargo test`: tests/getting-started.sh, tests/command-line.sh,");
        println!("tests/interop.sh, tests/authlib.sh, tests/schemathesis.sh, tests/postgres.sh,");
        println!(
            "tests/kill-rounds.py, tests/histories.py; `./test` installs what they need and runs them"
        );
    }
}
