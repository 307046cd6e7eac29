//! The only reader of what follows `…/secret` in a URL: (method, tail, query) → (operation, path).

use axum::http::Method;
use coffer_api::SecretPath;
use percent_encoding::percent_decode_str;

use super::query::Params;
use crate::error::{Error, Result};

/// What is to be done with the secret (contract, section 14, 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Read,
    Update,
    SetPolicy,
    Put,
    Reveal,
    DestroyVersion,
    Delete,
}

/// An operation and the one path it is about; a path that is none is told in its turn.
#[derive(Debug)]
pub struct Addressed {
    pub operation: Operation,
    pub path: Result<SecretPath>,
}

/// The method fits no operation here; these would.
#[derive(Debug, PartialEq, Eq)]
pub struct WrongMethod(pub &'static str);

/// Reads the tail as it stands in the URL, still percent-encoded.
pub fn read(method: &Method, tail: &str, params: &Params) -> Result<Addressed, WrongMethod> {
    let Ok(tail) = percent_decode_str(tail).decode_utf8() else {
        // Not text, so no suffix either: whatever the method means, the path is to blame.
        return Ok(Addressed { operation: Operation::Read, path: Err(not_text()) });
    };
    let (rest, last) = tail.rsplit_once('/').unwrap_or(("", ""));
    let versioned = params.find("version").map(|version| version.is_some());
    let (operation, in_tail) = match (method.as_str(), last) {
        ("GET" | "HEAD", _) => (Operation::Read, Ok(&*tail)),
        ("PATCH", _) => (Operation::Update, Ok(&*tail)),
        ("PUT", "policy") => (Operation::SetPolicy, Ok(rest)),
        ("POST", "versions") => (Operation::Put, Ok(rest)),
        ("POST", "value") => (Operation::Reveal, Ok(rest)),
        ("DELETE", last) => match (versioned, last) {
            (Err(error), _) => (Operation::DestroyVersion, Err(error)),
            (Ok(true), "versions") => (Operation::DestroyVersion, Ok(rest)),
            (Ok(true), _) => (Operation::DestroyVersion, Err(forgotten_suffix())),
            (Ok(false), "versions") => (Operation::Delete, Err(forgotten_version())),
            (Ok(false), _) => (Operation::Delete, Ok(&*tail)),
        },
        (_, "value" | "versions") => return Err(WrongMethod("GET, HEAD, POST, PATCH, DELETE")),
        (_, "policy") => return Err(WrongMethod("GET, HEAD, PUT, PATCH, DELETE")),
        _ => return Err(WrongMethod("GET, HEAD, PATCH, DELETE")),
    };
    Ok(Addressed { operation, path: in_tail.and_then(|in_tail| one_path(in_tail, params)) })
}

/// The path of the tail or of `?path=`; where both stand, they must be equal.
fn one_path(in_tail: &str, params: &Params) -> Result<SecretPath> {
    let path = match (in_tail, params.find("path")?) {
        (path, None) | ("", Some(path)) => path,
        (in_tail, Some(path)) if in_tail == path => path,
        _ => return Err(Error::invalid("path", "differs from the path in the URL")),
    };
    parse_path(path)
}

/// A path, or what is wrong with it.
pub fn parse_path(text: &str) -> Result<SecretPath> {
    SecretPath::parse(text).map_err(|error| Error::invalid("", error.to_string()))
}

fn not_text() -> Error {
    Error::invalid("", "path is not UTF-8 text")
}

/// SECURITY: a forgotten suffix must never delete a whole secret.
fn forgotten_suffix() -> Error {
    Error::invalid(
        "",
        "`?version=` goes with `…/versions`; to delete the secret itself leave it out",
    )
}

fn forgotten_version() -> Error {
    Error::invalid(
        "",
        "say which version with `?version=N`; to delete a secret really called `…/versions` \
         give its path as `?path=`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The operation and the path, `Err(())` for a path that is none, `None` for a wrong method.
    fn ask(method: &str, tail: &str, query: &str) -> Option<(Operation, Result<String, ()>)> {
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        let addressed = read(&method, tail, &Params::parse(Some(query))).ok()?;
        Some((addressed.operation, addressed.path.map(|path| path.to_string()).map_err(|_| ())))
    }

    #[test]
    fn the_table_of_section_14_1() {
        use Operation::{Delete, DestroyVersion, Put, Read, Reveal, SetPolicy, Update};
        let ok = |operation, path: &str| Some((operation, Ok(path.to_owned())));
        for (method, tail, query, expected) in [
            ("GET", "/app/db", "", ok(Read, "/app/db")),
            ("GET", "/app/value", "", ok(Read, "/app/value")),
            ("GET", "/app/db", "includeVersions=true", ok(Read, "/app/db")),
            ("GET", "", "path=/app/db", ok(Read, "/app/db")),
            ("GET", "/app/db", "path=/app/db", ok(Read, "/app/db")),
            ("GET", "/app/db", "path=/app/other", Some((Read, Err(())))),
            ("GET", "/value", "path=/x", Some((Read, Err(())))),
            ("POST", "/app/db/value", "", ok(Reveal, "/app/db")),
            ("POST", "/app/value/value", "", ok(Reveal, "/app/value")),
            ("POST", "/value", "path=/app/db", ok(Reveal, "/app/db")),
            ("POST", "/value", "", Some((Reveal, Err(())))),
            ("POST", "/app/db/versions", "", ok(Put, "/app/db")),
            ("POST", "/app/db", "", None),
            ("POST", "", "path=/app/db", None),
            ("PUT", "/app/db/policy", "", ok(SetPolicy, "/app/db")),
            ("PUT", "/app/db", "", None),
            ("PATCH", "/app/policy", "", ok(Update, "/app/policy")),
            ("DELETE", "/app/db", "", ok(Delete, "/app/db")),
            ("DELETE", "/app/db", "version=1", Some((DestroyVersion, Err(())))),
            ("DELETE", "/app/db/versions", "version=1", ok(DestroyVersion, "/app/db")),
            ("DELETE", "/app/db/versions", "", Some((Delete, Err(())))),
            ("DELETE", "", "path=/app/versions", ok(Delete, "/app/versions")),
            ("DELETE", "/versions", "path=/app/db&version=2", ok(DestroyVersion, "/app/db")),
            ("DELETE", "", "path=/app/db&version=2", Some((DestroyVersion, Err(())))),
            ("DELETE", "/app/db/versions", "version=1&version=2", Some((DestroyVersion, Err(())))),
            ("GET", "%2Fapp%2Fdb", "", ok(Read, "/app/db")),
            ("GET", "/app/a+b", "", ok(Read, "/app/a+b")),
            ("GET", "/app/%252e%252e/db", "", Some((Read, Err(())))),
            ("GET", "/app/%2e%2e/db", "", Some((Read, Err(())))),
            ("GET", "/app/../db", "", Some((Read, Err(())))),
            ("GET", "/app//db", "", Some((Read, Err(())))),
            ("GET", "/app/db/", "", Some((Read, Err(())))),
            ("GET", "/app/%00", "", Some((Read, Err(())))),
            ("GET", "/app/%ff", "", Some((Read, Err(())))),
            ("GET", "X/app", "", Some((Read, Err(())))),
            ("OPTIONS", "/app/db", "", None),
        ] {
            assert_eq!(ask(method, tail, query), expected, "{method} {tail} ?{query}");
        }
    }

    proptest! {
        #[test]
        fn every_path_can_be_read_and_deleted(
            segments in prop::collection::vec("[a-c.+]{1,3}|value|versions|policy", 1..4)
        ) {
            let path = format!("/{}", segments.join("/"));
            prop_assume!(SecretPath::parse(&path).is_ok());
            let by_query = format!("path={}", path.replace('+', "%2B"));
            for (method, operation) in [("GET", Operation::Read), ("DELETE", Operation::Delete)] {
                prop_assert_eq!(ask(method, "", &by_query), Some((operation, Ok(path.clone()))));
            }
            let reveal = format!("{path}/value");
            prop_assert_eq!(ask("POST", &reveal, ""), Some((Operation::Reveal, Ok(path.clone()))));
        }

        #[test]
        fn what_is_routed_is_canonical(tail in "[/.a%2eE+]{0,12}", query in "(path=[/.a]{0,5})?") {
            if let Some((_, Ok(path))) = ask("GET", &tail, &query) {
                prop_assert!(SecretPath::parse(&path).is_ok());
                let decoded = percent_decode_str(&tail).decode_utf8_lossy().into_owned();
                prop_assert!(path == decoded || decoded.is_empty());
            }
        }
    }
}
