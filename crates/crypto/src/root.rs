//! The root key: the one key that is not in the database, from which nothing but wrapping follows.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::{Cipher, Context, Key, Refused, SecretBytes, random};

const TEXT_PREFIX: &str = "coffer-root-key-1:";
const MATERIAL_BYTES: usize = 32;

/// The root key, ready to wrap KMS key material and to seal backups.
///
/// Three keys are derived from the 32 bytes by HKDF-SHA256 (RFC 5869): one wraps, one names, and from one the key
/// of each backup is derived. So the fingerprint that stands in the database tells nothing about the others.
pub struct RootKey {
    wrapping: Key,
    backups: SecretBytes,
    fingerprint: String,
}

impl RootKey {
    /// A fresh root key as the text that custody keeps: `coffer-root-key-1:<base64 of 32 bytes>`.
    pub fn generate_text() -> Result<Zeroizing<String>, Refused> {
        let material = random::secret(MATERIAL_BYTES)?;
        let encoded = Zeroizing::new(STANDARD.encode(material.expose()));
        Ok(Zeroizing::new([TEXT_PREFIX, encoded.as_str(), "\n"].concat()))
    }

    /// Reads the text of [`RootKey::generate_text`]; white space at the end is ignored.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let encoded = text.trim_end().strip_prefix(TEXT_PREFIX).ok_or(Refused)?;
        let material = SecretBytes::new(STANDARD.decode(encoded).map_err(|_| Refused)?);
        if material.len() != MATERIAL_BYTES {
            return Err(Refused);
        }
        let wrapping = derive(&[], &material, b"coffer/1/root-wrap", MATERIAL_BYTES)?;
        let name = derive(&[], &material, b"coffer/1/root-fingerprint", MATERIAL_BYTES)?;
        Ok(Self {
            wrapping: Key::new(Cipher::Aes256Gcm, &wrapping)?,
            backups: derive(&[], &material, b"coffer/1/root-backup", MATERIAL_BYTES)?,
            fingerprint: name.expose().iter().take(8).map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// A public name of this root key: 16 hexadecimal digits. A store remembers it, so that starting
    /// with another root key is told at once instead of at the first reveal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// `wrap[root](context, material)`, AES-256-GCM.
    pub fn wrap(&self, context: &Context, material: &SecretBytes) -> Result<Vec<u8>, Refused> {
        self.wrapping.seal(context, material.expose())
    }

    /// `unwrap[root](context, wrapped)`, the reverse of [`RootKey::wrap`].
    pub fn unwrap(&self, context: &Context, wrapped: &[u8]) -> Result<SecretBytes, Refused> {
        self.wrapping.open(context, wrapped)
    }

    /// The AES-256-GCM key of one backup: HKDF-SHA256 with the backup's own random salt.
    pub fn backup_key(&self, salt: &[u8]) -> Result<Key, Refused> {
        let derived = derive(salt, &self.backups, b"coffer/1/backup", MATERIAL_BYTES)?;
        Key::new(Cipher::Aes256Gcm, &derived)
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// `bytes` bytes by HKDF-SHA256 (RFC 5869), extract and expand. Refused beyond 255 blocks.
pub(crate) fn derive(
    salt: &[u8],
    material: &SecretBytes,
    info: &[u8],
    bytes: usize,
) -> Result<SecretBytes, Refused> {
    let mut derived = Zeroizing::new(vec![0; bytes]);
    Salt::new(HKDF_SHA256, salt)
        .extract(material.expose())
        .expand(&[info], Length(bytes))
        .and_then(|okm| okm.fill(&mut derived))
        .map_err(|_| Refused)?;
    Ok(SecretBytes::new(std::mem::take(&mut *derived)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Purpose;

    #[test]
    fn the_text_round_trips() {
        let text = RootKey::generate_text().unwrap();
        let context = Context::new(Purpose::KeyMaterial).text("k");
        let wrapped = RootKey::parse(&text)
            .unwrap()
            .wrap(&context, &SecretBytes::new(b"material".to_vec()))
            .unwrap();
        let again = RootKey::parse(&text).unwrap();
        assert_eq!(again.unwrap(&context, &wrapped).unwrap().expose(), b"material");
    }

    #[test]
    fn another_root_key_does_not_unwrap() {
        let context = Context::new(Purpose::KeyMaterial).text("k");
        let one = RootKey::parse(&RootKey::generate_text().unwrap()).unwrap();
        let two = RootKey::parse(&RootKey::generate_text().unwrap()).unwrap();
        let wrapped = one.wrap(&context, &SecretBytes::new(b"material".to_vec())).unwrap();
        assert!(two.unwrap(&context, &wrapped).is_err());
        assert_ne!(one.fingerprint(), two.fingerprint());
    }

    #[test]
    fn a_backup_key_is_of_one_root_key_and_one_salt() {
        let root = RootKey::parse(&RootKey::generate_text().unwrap()).unwrap();
        let other = RootKey::parse(&RootKey::generate_text().unwrap()).unwrap();
        let context = Context::new(Purpose::Backup).text("b");
        let sealed = root.backup_key(b"salt").unwrap().seal(&context, b"rows").unwrap();
        let opens = |key: Key| key.open(&context, &sealed).is_ok();
        assert!(opens(root.backup_key(b"salt").unwrap()));
        assert!(!opens(root.backup_key(b"tlas").unwrap()));
        assert!(!opens(other.backup_key(b"salt").unwrap()));
        assert!(root.unwrap(&context, &sealed).is_err());
    }

    #[test]
    fn a_damaged_text_is_refused() {
        for text in
            ["", "coffer-root-key-1:", "coffer-root-key-1:AAAA", "coffer-root-key-2:x", "junk"]
        {
            assert!(RootKey::parse(text).is_err(), "{text}");
        }
    }
}
