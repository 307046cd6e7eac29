//! Administrators of the platform: whoever runs it, and no organisation's.

use std::sync::Arc;

use coffer_crypto::token::TokenHash;

use super::caller::Arrival;
use super::idempotency::IdempotencyKey;
use crate::error::Result;

/// An administrator, which is one token; never its text.
#[derive(Debug, Clone)]
pub struct Administrator {
    pub id: String,
    pub name: String,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub last_used_at: Option<i64>,
}

/// A call of an administrator.
///
/// SECURITY: a type of its own, which no operation of an organisation takes, as those of the platform take no
/// [`super::caller::Call`]: neither token can be used in the other's place.
#[derive(Clone)]
pub struct AdministratorCall {
    pub token: TokenHash,
    pub administrator: Administrator,
    pub arrival: Arrival,
    /// Under which a change is made once, or what is wrong with it.
    pub idempotency: Result<Option<Arc<IdempotencyKey>>>,
}
