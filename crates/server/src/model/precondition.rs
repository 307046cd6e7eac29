//! Preconditions on the object version (RFC 9110, section 13).

use crate::error::{Error, Result};

/// What `If-Match` or `If-None-Match` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags {
    Any,
    Versions(Vec<i64>),
}

impl Tags {
    fn hold(&self, object_version: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&object_version),
        }
    }
}

/// What a call demands of the object's version.
#[derive(Debug, Clone, Default)]
pub struct Precondition {
    pub if_match: Option<Tags>,
    pub if_none_match: Option<Tags>,
}

impl Precondition {
    /// For mutations: `If-Match` must name the present version.
    pub fn check(&self, object_version: i64) -> Result<()> {
        match &self.if_match {
            Some(tags) if !tags.hold(object_version) => Err(Error::Precondition),
            _ => Ok(()),
        }
    }

    /// For reads: `If-None-Match` with the present version means nothing has changed.
    pub fn check_read(&self, object_version: i64) -> Result<()> {
        self.check(object_version)?;
        match &self.if_none_match {
            Some(tags) if tags.hold(object_version) => Err(Error::Unchanged { object_version }),
            _ => Ok(()),
        }
    }
}
