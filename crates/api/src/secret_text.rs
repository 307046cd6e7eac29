//! Values on the wire: base64 text that is zeroed when dropped.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// A secret value in base64 (standard alphabet, padded), as sent and received. No `Debug`, no `Clone`;
/// `Serialize` only because crossing the wire is what it is for.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Encodes a value.
    pub fn encode(value: &[u8]) -> Self {
        Self(Zeroizing::new(STANDARD.encode(value)))
    }

    /// A secret that is text itself, such as a token.
    pub fn of_text(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The text as it came.
    pub fn as_text(&self) -> &str {
        &self.0
    }

    /// Decodes the value, or `None` when the text is not base64. The caller zeroes the bytes.
    pub fn decode(&self) -> Option<Vec<u8>> {
        // Decoding into a buffer of the right size leaves no half-grown copies behind.
        let mut value = Vec::with_capacity(self.0.len() / 4 * 3 + 3);
        match STANDARD.decode_vec(self.0.as_bytes(), &mut value) {
            Ok(()) => Some(value),
            Err(_) => {
                drop(Zeroizing::new(value));
                None
            }
        }
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// The named values of one secret, in the order they came. A name that comes twice is an error.
pub struct KeyValues(pub Vec<(String, SecretText)>);

impl Serialize for KeyValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for KeyValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = KeyValues;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from name to base64 text")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<KeyValues, A::Error> {
                let mut entries: Vec<(String, SecretText)> = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, SecretText>()? {
                    if !seen.insert(name.clone()) {
                        return Err(de::Error::custom("duplicate field"));
                    }
                    entries.push((name, value));
                }
                Ok(KeyValues(entries))
            }
        }

        deserializer.deserialize_map(Names)
    }
}
