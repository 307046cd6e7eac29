//! Quotas: what an organisation may have at most (contract, sections 6.4 and 14, 47).

use crate::error::{Error, Result};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quota {
    Secrets,
    /// Versions of secrets that are not destroyed.
    Versions,
    /// Keys that are not deleted; those that wait for their deletion count.
    Keys,
    ServiceAccounts,
}

impl Quota {
    pub const ALL: [Self; 4] = [Self::Secrets, Self::Versions, Self::Keys, Self::ServiceAccounts];

    pub fn name(self) -> &'static str {
        match self {
            Self::Secrets => "secrets.count",
            Self::Versions => "secrets.versions",
            Self::Keys => "kms.keys",
            Self::ServiceAccounts => "iam.service-accounts",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quota| quota.name() == name)
    }

    pub fn description(self) -> &'static str {
        match self {
            Self::Secrets => "Secrets",
            Self::Versions => "Versions of secrets that are not destroyed",
            Self::Keys => "KMS keys that are not deleted",
            Self::ServiceAccounts => "Service accounts",
        }
    }

    /// The part of the product it belongs to.
    pub fn service(self) -> &'static str {
        self.name().split('.').next().unwrap_or_default()
    }

    /// Whether there may be `used`; `most` 0 is no bound.
    pub fn check(self, used: i64, most: i64) -> Result<()> {
        match most > 0 && used > most {
            true => Err(Error::denied(format!(
                "quota `{}` is used up: at most {most}; ask for more under /v1/quotas",
                self.name()
            ))),
            false => Ok(()),
        }
    }
}

/// How much of a quota an organisation uses.
#[derive(Debug, Clone)]
pub struct Usage {
    pub quota: Quota,
    pub used: i64,
    /// 0 is no bound.
    pub most: i64,
    pub created_at: i64,
}

/// Somebody has asked for more.
#[derive(Debug, Clone)]
pub struct Increase {
    pub organisation: String,
    pub id: String,
    pub quota: Quota,
    pub new_most: i64,
    pub reason: String,
    pub decision: Decision,
    pub decision_reason: String,
    pub created_at: i64,
    pub updated_at: i64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Pending,
    Approved,
    Denied,
}

impl Decision {
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Denied].into_iter().find(|d| d.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_bounds_what_is_used() {
        for (used, most, expected) in
            [(0, 0, true), (9, 0, true), (1, 1, true), (2, 1, false), (1_000, 1_000, true)]
        {
            assert_eq!(Quota::Secrets.check(used, most).is_ok(), expected, "{used} of {most}");
        }
        let told = Quota::Keys.check(3, 2).unwrap_err().message();
        assert!(told.contains("kms.keys") && told.contains("at most 2"), "{told}");
        for quota in Quota::ALL {
            assert_eq!(Quota::from_name(quota.name()), Some(quota));
        }
    }
}
