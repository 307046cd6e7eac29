//! The chains that records of the audit log form.
//!
//! Each writer numbers an organisation's records in a stream of its own, from 1 and without a gap. The link of a record
//! is over all of it and over the link before it, so none can be changed, dropped, put elsewhere or slipped in. What the
//! last one of a stream is, and the last that was dropped because it was old, is sealed.

/// The stream of an organisation's checkpoints: the link of one is the digest of what is signed of it.
pub const CHECKPOINTS: i64 = 0;

/// The base of an organisation's records from before there were chains: how many there are, without a link.
pub const UNLINKED: i64 = -1;

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub organisation: String,
    pub stream: i64,
    /// From 1; 0 is before all records.
    pub number: i64,
}

/// A place with the link of the record there, empty before all records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    pub place: Place,
    pub link: Vec<u8>,
}

/// An end of a stream that is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The last record.
    Head,
    /// The last record that was dropped because it was old.
    Base,
}

/// Columns of a record that are texts, the organisation's identity first.
pub const RECORD_TEXTS: usize = 17;

/// A record as the log holds it.
#[derive(Debug, Clone, Copy)]
pub struct RecordRow<'a> {
    /// Microseconds since 1970.
    pub at: i64,
    /// Microseconds.
    pub duration: i64,
    pub texts: [&'a str; RECORD_TEXTS],
}

/// What only the holder of the chains' key can do.
pub trait Chaining: Send + Sync {
    /// The link of a record at a place, behind the link before.
    fn link(&self, place: &Place, before: &[u8], record: &RecordRow<'_>) -> Vec<u8>;

    /// The seal of an end.
    fn seal(&self, end: End, at: &Linked) -> Vec<u8>;
}
