//! What an operation can answer, without HTTP in it.

/// How a call ended: the word that stands in the audit log. `http/reply.rs` knows the status of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Ok,
    Created,
    Done,
    Unchanged,
    Invalid,
    Unauthenticated,
    Denied,
    NotFound,
    WrongMethod,
    Conflict,
    Precondition,
    BodyTooLarge,
    UrlTooLong,
    MediaType,
    TooMany,
    HeadersTooLarge,
    Failed,
    Unavailable,
}

impl Outcome {
    pub const ALL: [(Self, &'static str); 18] = [
        (Self::Ok, "ok"),
        (Self::Created, "created"),
        (Self::Done, "done"),
        (Self::Unchanged, "unchanged"),
        (Self::Invalid, "invalid"),
        (Self::Unauthenticated, "unauthenticated"),
        (Self::Denied, "denied"),
        (Self::NotFound, "not_found"),
        (Self::WrongMethod, "wrong_method"),
        (Self::Conflict, "conflict"),
        (Self::Precondition, "precondition"),
        (Self::BodyTooLarge, "body_too_large"),
        (Self::UrlTooLong, "url_too_long"),
        (Self::MediaType, "media_type"),
        (Self::TooMany, "too_many"),
        (Self::HeadersTooLarge, "headers_too_large"),
        (Self::Failed, "failed"),
        (Self::Unavailable, "unavailable"),
    ];

    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(outcome, _)| *outcome == self).map_or("failed", |(_, word)| word)
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(outcome, _)| *outcome)
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A call that did not succeed. [`Error::message`] is for the client; [`Error::cause`] is for the log and
/// the audit record, and is never sent.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("credentials are missing or not valid")]
    Unauthenticated { cause: &'static str },
    #[error("{message}")]
    Denied { message: String, cause: String },
    #[error("{noun} not found")]
    NotFound { noun: &'static str, cause: String },
    #[error("{}{why}", field_prefix(field))]
    Invalid { field: String, why: String },
    #[error("{0}")]
    Conflict(String),
    #[error("`If-Match` names another object version than the present one")]
    Precondition,
    #[error("not changed")]
    Unchanged { object_version: i64 },
    /// Not a failure: the answer of before, in place of doing it again.
    #[error("answered as before, under the same idempotency key; nothing was done")]
    Replayed(Box<Kept>),
    #[error("request body is larger than 256 KiB")]
    BodyTooLarge,
    #[error("send the body with `Content-Type: application/json`")]
    MediaType,
    #[error("too many requests; try again in {retry_after_seconds} s")]
    TooMany { retry_after_seconds: u64 },
    #[error("the server has too much to do; try again")]
    Busy,
    #[error("{message}")]
    Unavailable { message: &'static str, cause: String },
    /// A row breaks a rule of the model, or a seal of ours does not open.
    #[error("stored data is damaged")]
    Corrupt { cause: String },
    #[error("internal error")]
    Bug { cause: String },
}

/// The answer of a change, kept for whoever asks again with the same idempotency key.
#[derive(Debug, Clone)]
pub struct Kept {
    pub outcome: Outcome,
    /// What the change was about.
    pub subject: String,
    /// JSON, empty for none.
    pub body: String,
    pub object_version: Option<i64>,
}

fn field_prefix(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("`{field}`: ") }
}

impl Error {
    pub fn invalid(field: &str, why: impl Into<String>) -> Self {
        Self::Invalid { field: field.to_owned(), why: why.into() }
    }

    pub fn denied(message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Denied { cause: message.clone(), message }
    }

    pub fn not_found(noun: &'static str) -> Self {
        Self::NotFound { noun, cause: String::new() }
    }

    pub fn corrupt(cause: impl Into<String>) -> Self {
        Self::Corrupt { cause: cause.into() }
    }

    pub fn bug(cause: impl Into<String>) -> Self {
        Self::Bug { cause: cause.into() }
    }

    pub fn unavailable(cause: impl Into<String>) -> Self {
        Self::Unavailable { message: "the store is not available", cause: cause.into() }
    }

    pub fn kms_unavailable() -> Self {
        Self::Unavailable {
            message: "KMS is not available in this region",
            cause: "KMS is off in the region".to_owned(),
        }
    }

    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unauthenticated { .. } => Outcome::Unauthenticated,
            Self::Denied { .. } => Outcome::Denied,
            Self::NotFound { .. } => Outcome::NotFound,
            Self::Invalid { .. } => Outcome::Invalid,
            Self::Conflict(_) => Outcome::Conflict,
            Self::Precondition => Outcome::Precondition,
            Self::Unchanged { .. } => Outcome::Unchanged,
            Self::Replayed(kept) => kept.outcome,
            Self::BodyTooLarge => Outcome::BodyTooLarge,
            Self::MediaType => Outcome::MediaType,
            Self::TooMany { .. } => Outcome::TooMany,
            Self::Busy | Self::Unavailable { .. } => Outcome::Unavailable,
            Self::Corrupt { .. } | Self::Bug { .. } => Outcome::Failed,
        }
    }

    /// What a client reads.
    pub fn message(&self) -> String {
        self.to_string()
    }

    /// What stands in the audit record, which the organisation can read: nothing of our insides.
    pub fn reason(&self) -> String {
        match self.outcome() {
            Outcome::Failed | Outcome::Unavailable => self.message(),
            _ => self.cause(),
        }
    }

    /// What an operator reads in the log.
    pub fn cause(&self) -> String {
        match self {
            Self::Unauthenticated { cause } => (*cause).to_owned(),
            Self::Denied { cause, .. } | Self::Unavailable { cause, .. } => cause.clone(),
            Self::NotFound { cause, .. } if !cause.is_empty() => cause.clone(),
            Self::Corrupt { cause } | Self::Bug { cause } => cause.clone(),
            _ => self.to_string(),
        }
    }
}

/// Crypto says nothing about why it refused; here it means that a stored seal does not open.
impl From<coffer_crypto::Refused> for Error {
    fn from(_: coffer_crypto::Refused) -> Self {
        Self::corrupt("a stored seal does not open")
    }
}

/// Tells what is wrong with a JSON text, below the field `base` (empty for the whole body).
///
/// SECURITY: the parser's own words may repeat a value that stands where it does not belong; only the names
/// of fields and places are passed on.
pub fn describe_json_error(
    base: &str,
    error: &serde_path_to_error::Error<serde_json::Error>,
) -> Error {
    let place = match error.path().to_string() {
        path if path == "." || path.is_empty() => base.to_owned(),
        path if base.is_empty() => path,
        path => format!("{base}.{path}"),
    };
    let inner = error.inner();
    let text = inner.to_string();
    let named = |prefix: &str| text.strip_prefix(prefix)?.split('`').next().map(shorten);
    let why = if inner.is_syntax() || inner.is_eof() {
        format!("not valid JSON at line {}, column {}", inner.line(), inner.column())
    } else if let Some(field) = named("unknown field `") {
        let parent = place.strip_suffix(field.as_str()).unwrap_or(&place).trim_end_matches('.');
        return Error::invalid(parent, format!("unknown field `{field}`"));
    } else if let Some(field) = named("missing field `") {
        format!("field `{field}` is missing")
    } else if text.starts_with("duplicate field") {
        "a field stands twice".to_owned()
    } else {
        "has a value of the wrong type".to_owned()
    };
    Error::invalid(&shorten(&place), why)
}

/// What a message may repeat of a text that came from outside.
pub fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}
