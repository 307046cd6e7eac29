//! Nouns and rules. Pure: no IO, no async, no SQL; what a caller may do is decided here and nowhere else.

pub mod access_policy;
pub mod access_token;
pub mod action;
pub mod administrator;
pub mod caller;
pub mod decide;
pub mod elevation;
pub mod event;
pub mod federation;
pub mod identity;
pub mod invite;
pub mod jwks;
pub mod key;
pub mod limits;
pub mod pattern;
pub mod policy;
pub mod precondition;
pub mod project;
pub mod quota;
pub mod role;
pub mod roles;
pub mod scopes;
pub mod secret;
pub mod service_account;
pub mod team;
pub mod term;
