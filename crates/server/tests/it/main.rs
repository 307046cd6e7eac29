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
    clippy::too_many_lines,
    reason = "a test may stop, print, and look behind the door"
)]

mod audit_access;
mod audit_chain;
mod audit_log;
mod audit_retention;
mod backup;
mod backup_format;
mod calls;
mod canary;
mod common;
mod create;
mod create_keys;
mod custody;
mod damage;
mod database_tls;
mod elevations;
mod explain;
mod fault_cases;
mod faults;
mod federation;
mod federation_refusals;
mod grants;
mod iam_policies;
mod idempotency;
mod invites;
mod issuer;
mod key_budget;
mod key_data;
mod key_import;
mod key_lifecycle;
mod key_refusals;
mod key_signatures;
mod key_states;
mod key_table;
mod key_types;
mod keys;
mod limits;
mod lists;
mod load;
mod matrix;
mod metadata;
mod metering;
mod metrics;
mod migrations;
mod moving;
mod openapi;
mod pages;
mod paths;
mod platform;
mod policies;
mod policy_rules;
mod preconditions;
mod process;
mod project_calls;
mod projects;
mod quotas;
mod revocation;
mod roles;
mod root_keys;
mod scopes;
mod seals;
mod servers;
mod service_accounts;
mod sink_receivers;
mod sinks;
mod specification;
mod statements;
mod teams;
mod tenants;
mod tidy;
mod tls;
mod token_endpoint;
mod tokens;
mod traces;
mod values;
mod walk;
mod world;
