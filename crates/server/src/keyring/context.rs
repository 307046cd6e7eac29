//! What every seal belongs to.
//!
//! INVARIANT: a context never changes, or nothing that was sealed in it opens again. `docs/kms.md` tells
//! them to whoever has to open a ciphertext elsewhere.

use coffer_crypto::{Context, Purpose};

use crate::model::chain::{End, Linked, Place, RecordRow};
use crate::model::key::VersionName;
use crate::model::secret::{Address, Format};

pub fn material(name: &VersionName) -> Context {
    Context::new(Purpose::KeyMaterial)
        .text(&name.organisation)
        .text(&name.region)
        .text(&name.project)
        .text(&name.key)
        .text(name.algorithm.name())
        .number(name.version)
}

pub fn wrapping_key(region: &str) -> Context {
    Context::new(Purpose::WrappingKey).text(region)
}

pub fn signing_key(id: &str) -> Context {
    Context::new(Purpose::SigningKey).text(id)
}

/// Of the tag that stands for an idempotency key.
pub fn idempotency_key(owner: &str, credential: &str, key: &str) -> Context {
    Context::new(Purpose::IdempotencyKey).text(owner).text(credential).text(key)
}

/// Of the tag that stands for a request, behind that of its idempotency key and with that of its body.
pub fn request(key: &[u8], place: [&str; 4], body: &[u8]) -> Context {
    let context = Context::new(Purpose::Request).bytes(key);
    place.into_iter().fold(context, Context::text).bytes(body)
}

/// A chunk of a backup: the clear text in front of all, its number, and whether it is the last.
pub fn backup(head: &[u8], chunk: i64, last: i64) -> Context {
    Context::new(Purpose::Backup).bytes(head).number(chunk).number(last)
}

/// A record of the audit log.
pub fn audit_record(place: &Place, before: &[u8], record: &RecordRow<'_>) -> Context {
    let context = Context::new(Purpose::AuditRecord).number(place.stream).number(place.number);
    let context = context.bytes(before).number(record.at).number(record.duration);
    record.texts.into_iter().fold(context, Context::text)
}

/// An end of a stream of audit records.
pub fn audit_end(end: End, at: &Linked) -> Context {
    let purpose = match end {
        End::Head => Purpose::AuditHead,
        End::Base => Purpose::AuditBase,
    };
    let Place { organisation, stream, number } = &at.place;
    Context::new(purpose).text(organisation).number(*stream).number(*number).bytes(&at.link)
}

/// A checkpoint of the audit log.
pub fn audit_checkpoint(place: &Place, before: &[u8], at: i64, heads: &[Linked]) -> Context {
    let Place { organisation, number, .. } = place;
    let context = Context::new(Purpose::AuditCheckpoint).text(organisation).number(*number);
    heads.iter().fold(context.bytes(before).number(at), |context, head| {
        context.number(head.place.stream).number(head.place.number).bytes(&head.link)
    })
}

pub fn data_key(at: &Address, version: i64) -> Context {
    address(Purpose::DataKey, at, version)
}

pub fn value(at: &Address, version: i64, format: Format) -> Context {
    address(Purpose::Value, at, version).text(format.word())
}

pub fn encrypt(name: &VersionName, context: &[u8]) -> Context {
    Context::new(Purpose::KmsEncrypt)
        .text(&name.organisation)
        .text(&name.region)
        .text(&name.project)
        .text(&name.key)
        .number(name.version)
        .bytes(context)
}

fn address(purpose: Purpose, at: &Address, version: i64) -> Context {
    Context::new(purpose)
        .text(&at.organisation)
        .text(&at.region)
        .text(&at.project)
        .text(at.path.as_str())
        .number(version)
}
