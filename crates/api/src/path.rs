//! The one reader of secret paths: it refuses what is not canonical and never rewrites.

use std::fmt;

/// Bytes of the longest path.
pub const PATH_BYTES_MAX: usize = 512;

/// The path of a secret: its identity (contract, section 2.3). Built only by [`SecretPath::parse`].
///
/// INVARIANT: begins with `/`, ends with a segment, no segment is empty, `.` or `..`, every byte is one of
/// `A–Z a–z 0–9 / _ - . +`, and it has 1 to 512 bytes. Compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretPath(String);

/// Why a text is not a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// No byte at all.
    Empty,
    /// More than [`PATH_BYTES_MAX`] bytes.
    TooLong,
    /// The first byte is not `/`.
    NoLeadingSlash,
    /// The last byte is `/`.
    TrailingSlash,
    /// Two slashes next to each other.
    EmptySegment,
    /// A segment is `.` or `..`.
    DotSegment,
    /// A byte outside the alphabet.
    Alphabet,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "path is empty",
            Self::TooLong => "path is longer than 512 characters",
            Self::NoLeadingSlash => "path must begin with `/`",
            Self::TrailingSlash => "path of a secret must not end with `/`",
            Self::EmptySegment => "path must not contain `//`",
            Self::DotSegment => "path must not contain the segments `.` or `..`",
            Self::Alphabet => "path may contain only `A-Z a-z 0-9 / _ - . +`",
        })
    }
}

impl SecretPath {
    /// Reads a path as it came, already percent-decoded once.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        check(text)?;
        match text.ends_with('/') {
            true => Err(PathError::TrailingSlash),
            false => Ok(Self(text.to_owned())),
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A directory of secrets: a path that ends with `/`, the root being `/` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(String);

impl Directory {
    /// Reads a directory; one given without its trailing slash means the same directory.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        check(text)?;
        let slash = if text.ends_with('/') { "" } else { "/" };
        Ok(Self([text, slash].concat()))
    }

    /// The directory as text, with its trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What paths and directories have in common.
fn check(text: &str) -> Result<(), PathError> {
    let Some(inner) = text.strip_prefix('/') else {
        return Err(if text.is_empty() { PathError::Empty } else { PathError::NoLeadingSlash });
    };
    if text.len() > PATH_BYTES_MAX {
        return Err(PathError::TooLong);
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-.+".contains(&byte)) {
        return Err(PathError::Alphabet);
    }
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() {
        // `/` is the root directory; `//` is not.
        return if text.len() == 1 { Ok(()) } else { Err(PathError::EmptySegment) };
    }
    inner.split('/').try_for_each(|segment| match segment {
        "" => Err(PathError::EmptySegment),
        "." | ".." => Err(PathError::DotSegment),
        _ => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table_of_section_2_3() {
        let long = format!("/{}", "a".repeat(511));
        let too_long = format!("/{}", "a".repeat(512));
        let cases: [(&str, Result<(), PathError>); 22] = [
            ("/a", Ok(())),
            ("/app/production/db/password", Ok(())),
            ("/A-Z/a_z/0.9/+", Ok(())),
            ("/app/value", Ok(())),
            ("/...", Ok(())),
            ("/.a/b.", Ok(())),
            (&long, Ok(())),
            (&too_long, Err(PathError::TooLong)),
            ("", Err(PathError::Empty)),
            ("a", Err(PathError::NoLeadingSlash)),
            ("app/db", Err(PathError::NoLeadingSlash)),
            ("/", Err(PathError::TrailingSlash)),
            ("/app/", Err(PathError::TrailingSlash)),
            ("//", Err(PathError::EmptySegment)),
            ("/app//db", Err(PathError::EmptySegment)),
            ("/app/./db", Err(PathError::DotSegment)),
            ("/app/..", Err(PathError::DotSegment)),
            ("/..", Err(PathError::DotSegment)),
            ("/app/%2e%2e/db", Err(PathError::Alphabet)),
            ("/app db", Err(PathError::Alphabet)),
            ("/app\0", Err(PathError::Alphabet)),
            ("/äpp", Err(PathError::Alphabet)),
        ];
        for (text, expected) in cases {
            assert_eq!(SecretPath::parse(text).map(|_| ()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_directory_needs_no_trailing_slash() {
        for (text, expected) in [("/", "/"), ("/app", "/app/"), ("/app/", "/app/")] {
            assert_eq!(
                Directory::parse(text).map(|directory| directory.0),
                Ok(expected.to_owned())
            );
        }
        for text in ["", "app/", "//", "/app//", "/../", "/a b/"] {
            assert!(Directory::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_is_unchanged_and_canonical(text in "[/.a-c%+ ]{0,12}|\\PC{0,8}") {
            if let Ok(path) = SecretPath::parse(&text) {
                prop_assert_eq!(path.as_str(), &text);
                prop_assert!(text.starts_with('/') && !text.ends_with('/') && !text.contains("//"));
                prop_assert!(text.split('/').all(|segment| segment != "." && segment != ".."));
                prop_assert!(!text.contains(['%', ' ']));
            }
        }
    }
}
