//! Secrets: where one is, what it holds, how a value becomes bytes.

use coffer_api::{KeyValues, Map, SecretPath, SecretText};
use coffer_crypto::SecretBytes;
use serde_json::Value as Json;

use super::key::Key;
use super::limits::{
    GENERATE_BYTES_MAX, GENERATE_BYTES_MIN, VALUE_BYTES_MAX, VALUES_BYTES_MAX, VALUES_MAX,
};
use crate::error::{Error, Result};

/// Where a secret is. The organisation, region and project of one call, and the path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    pub organisation: String,
    pub region: String,
    /// Empty without a project.
    pub project: String,
    pub path: SecretPath,
}

/// A secret's metadata.
#[derive(Debug, Clone)]
pub struct Secret {
    /// Internal: tells a secret from a later one at the same path.
    pub id: String,
    pub path: String,
    pub description: String,
    pub labels: Map,
    pub annotations: Map,
    pub access_policy: Option<Json>,
    /// Whom the names in the policy meant when it was set; `None` where that was not kept.
    pub policy_names: Option<Map>,
    pub current_version: i64,
    pub latest_version: i64,
    pub object_version: i64,
    pub created_at: i64,
    pub updated_at: i64,
    pub last_accessed_at: Option<i64>,
    pub key: Key,
}

impl Secret {
    /// Roughly how many bytes the secret takes in a list, its key included.
    pub fn weight(&self) -> usize {
        let map =
            |map: &Map| map.iter().map(|(key, value)| key.len() + value.len() + 16).sum::<usize>();
        let policy = self.access_policy.as_ref().map_or(0, |policy| policy.to_string().len());
        let own =
            self.path.len() + self.description.len() + map(&self.labels) + map(&self.annotations);
        512 + own + policy + self.key.weight()
    }
}

/// One version's metadata.
#[derive(Debug, Clone)]
pub struct Version {
    pub version: i64,
    pub destroyed_at: Option<i64>,
    pub format: Format,
    pub created_at: i64,
    pub last_accessed_at: Option<i64>,
}

/// How the bytes of a value are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    String,
    KeyValue,
}

impl Format {
    pub fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::KeyValue => "keyValue",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::String, Self::KeyValue].into_iter().find(|format| format.word() == word)
    }
}

/// A value as it is stored, sealed twice.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub wrapped_data_key: Vec<u8>,
    pub value: Vec<u8>,
}

/// A value to store: checked against every limit, encoded, not yet sealed.
pub struct NewValue {
    pub format: Format,
    pub bytes: SecretBytes,
}

impl NewValue {
    /// Exactly one of the three inputs, within the limits of section 2.6. `generate` makes random bytes.
    pub fn from_inputs(
        string: Option<&SecretText>,
        key_values: Option<&KeyValues>,
        generate: Option<i64>,
    ) -> Result<Self> {
        match (string, key_values, generate) {
            (Some(text), None, None) => {
                Ok(Self { format: Format::String, bytes: decode("secretString", text)? })
            }
            (None, Some(key_values), None) => encode_key_values(key_values),
            (None, None, Some(count)) => {
                if !(GENERATE_BYTES_MIN..=GENERATE_BYTES_MAX).contains(&count) {
                    return Err(Error::invalid("generateSecret.byteLength", "must be 16 to 4096"));
                }
                let count = usize::try_from(count).map_err(|_| Error::bug("byte length"))?;
                Ok(Self { format: Format::String, bytes: coffer_crypto::random::secret(count)? })
            }
            _ => Err(Error::invalid(
                "",
                "give exactly one of `secretString`, `secretKeyValues` and `generateSecret`",
            )),
        }
    }
}

fn decode(field: &str, text: &SecretText) -> Result<SecretBytes> {
    let bytes = text
        .decode()
        .ok_or_else(|| Error::invalid(field, "is not base64 (standard alphabet with padding)"))?;
    let bytes = SecretBytes::new(bytes);
    match bytes.len() {
        0 => Err(Error::invalid(field, "is empty")),
        1..=VALUE_BYTES_MAX => Ok(bytes),
        _ => Err(Error::invalid(field, format!("is longer than {VALUE_BYTES_MAX} bytes"))),
    }
}

/// Key/value encoding: for each entry, in order, `name length (u16) ‖ name ‖ value length (u32) ‖ value`.
fn encode_key_values(key_values: &KeyValues) -> Result<NewValue> {
    let field = "secretKeyValues";
    let entries = &key_values.0;
    if entries.is_empty() || entries.len() > VALUES_MAX {
        return Err(Error::invalid(field, format!("must have 1 to {VALUES_MAX} entries")));
    }
    let mut values_bytes = 0;
    let mut decoded = Vec::with_capacity(entries.len());
    for (name, text) in entries {
        let alphabet = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if name.is_empty() || name.len() > 128 || !alphabet {
            return Err(Error::invalid(
                field,
                "a name must have 1 to 128 characters of `A-Z a-z 0-9 _ . -`",
            ));
        }
        let value = decode(&format!("{field}.{name}"), text)?;
        values_bytes += value.len();
        decoded.push((name, value));
    }
    if values_bytes > VALUES_BYTES_MAX {
        return Err(Error::invalid(
            field,
            format!("values are longer than {VALUES_BYTES_MAX} bytes in all"),
        ));
    }
    // The exact size at once: growing would leave copies of the values behind.
    let size = decoded.iter().map(|(name, value)| 6 + name.len() + value.len()).sum();
    let mut bytes = Vec::with_capacity(size);
    for (name, value) in &decoded {
        bytes.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(value.expose());
    }
    Ok(NewValue { format: Format::KeyValue, bytes: SecretBytes::new(bytes) })
}

/// Reads what [`NewValue::from_inputs`] encoded, straight into base64.
pub fn decode_key_values(bytes: &SecretBytes) -> Result<KeyValues> {
    fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
        let (taken, left) = rest
            .split_at_checked(count)
            .ok_or_else(|| Error::corrupt("a key/value secret is cut short"))?;
        *rest = left;
        Ok(taken)
    }
    let mut rest = bytes.expose();
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let length = take(&mut rest, 2)?.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        let name = String::from_utf8_lossy(take(&mut rest, length)?).into_owned();
        let length = take(&mut rest, 4)?.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        entries.push((name, SecretText::encode(take(&mut rest, length)?)));
    }
    Ok(KeyValues(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &[u8])]) -> KeyValues {
        KeyValues(entries.iter().map(|(n, v)| ((*n).to_owned(), SecretText::encode(v))).collect())
    }

    #[test]
    fn key_values_round_trip() {
        let sent = map(&[("user", b"app"), ("password", &[0, 255, 7]), ("A.b-c_9", &[1; 4096])]);
        let value = NewValue::from_inputs(None, Some(&sent), None).unwrap();
        let read = decode_key_values(&value.bytes).unwrap();
        assert_eq!(serde_json::to_string(&sent).unwrap(), serde_json::to_string(&read).unwrap());
    }

    #[test]
    fn damaged_key_values_are_told() {
        let value = NewValue::from_inputs(None, Some(&map(&[("a", b"b")])), None).unwrap();
        for length in 1..value.bytes.len() {
            let cut = SecretBytes::new(value.bytes.expose().iter().take(length).copied().collect());
            assert!(decode_key_values(&cut).is_err(), "{length}");
        }
    }
}
