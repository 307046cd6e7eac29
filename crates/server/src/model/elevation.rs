//! Access elevations: a policy for a while, asked for by one and granted by another.

use coffer_api::Map;

use crate::error::{Error, Result};

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElevationStatus {
    Pending,
    Approved,
    Rejected,
    Cancelled,
    Revoked,
    /// Its time is over, decided or not.
    Expired,
}

impl ElevationStatus {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Pending, "pending"),
        (Self::Approved, "approved"),
        (Self::Rejected, "rejected"),
        (Self::Cancelled, "cancelled"),
        (Self::Revoked, "revoked"),
        (Self::Expired, "expired"),
    ];

    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(own, _)| *own == self).map_or("", |(_, word)| word)
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, own)| *own == word).map(|(status, _)| *status)
    }
}

/// A request for a policy, and what became of it.
#[derive(Debug, Clone)]
pub struct Elevation {
    pub id: String,
    pub project: String,
    pub policy: String,
    /// `user` or `service_account`, and its identity.
    pub principal: (String, String),
    pub reason: String,
    pub labels: Map,
    pub annotations: Map,
    pub status: ElevationStatus,
    pub expires_at: i64,
    /// `user:…` or `service_account:…`; empty before somebody has decided.
    pub reviewed_by: String,
    pub review_note: String,
    pub created_at: i64,
    pub updated_at: i64,
}

impl Elevation {
    /// As it stands at `now`.
    pub fn status_at(&self, now: i64) -> ElevationStatus {
        match self.status {
            ElevationStatus::Pending | ElevationStatus::Approved if self.expires_at <= now => {
                ElevationStatus::Expired
            }
            status => status,
        }
    }

    pub fn check_is(&self, wanted: ElevationStatus, now: i64) -> Result<()> {
        match self.status_at(now) {
            status if status == wanted => Ok(()),
            status => Err(Error::invalid(
                "",
                format!("the request is {}, not {}", status.word(), wanted.word()),
            )),
        }
    }
}
