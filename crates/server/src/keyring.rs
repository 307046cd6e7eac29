//! Root key → key version → data key → value. Plaintext key material never leaves this file.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use coffer_crypto::{Cipher, Context, Key, Purpose, RootKey, SecretBytes};
use quick_cache::sync::Cache;

use crate::error::{Error, Result};
use crate::model::key::WrappedKey;
use crate::model::secret::{Address, Format, NewValue, Sealed};

/// Key versions kept ready in memory; more are unwrapped again when they are needed.
const READY_MAX: usize = 4096;

/// The root key and the key versions that were unwrapped with it.
pub struct Keyring {
    root: RootKey,
    /// Organisation, key, wrapped material → ready key.
    ///
    /// INVARIANT: by the material, not by the version's number. A batch that is rolled back gives the number
    /// out again, for other material; sealing under what is stored nowhere would lose values for good.
    ready: Cache<(String, String, Vec<u8>), Arc<Key>>,
    /// Keys that are not active: whatever was under way when they ceased to be must not put them back.
    dropped: RwLock<HashSet<(String, String)>>,
}

impl Keyring {
    pub fn new(root: RootKey) -> Self {
        Self { root, ready: Cache::new(READY_MAX), dropped: RwLock::default() }
    }

    /// The public name of the root key.
    pub fn fingerprint(&self) -> &str {
        self.root.fingerprint()
    }

    /// Fresh material for a key version, wrapped; `key.material` is filled in.
    pub fn mint(&self, key: &mut WrappedKey) -> Result<()> {
        let material = key.key_type.cipher().generate()?;
        key.material = self.root.wrap(&material_context(key), &material)?;
        Ok(())
    }

    /// Seals a secret version's value under a fresh data key, and that under the key version.
    pub fn seal_value(
        &self,
        key: &WrappedKey,
        at: &Address,
        version: i64,
        value: &NewValue,
    ) -> Result<Sealed> {
        let material = Cipher::Aes256Gcm.generate()?;
        let data_key = Key::new(Cipher::Aes256Gcm, &material)?;
        Ok(Sealed {
            value: data_key
                .seal(&value_context(at, version, value.format), value.bytes.expose())?,
            wrapped_data_key: self
                .ready(key)?
                .seal(&data_key_context(at, version), material.expose())?,
        })
    }

    /// Opens what [`Keyring::seal_value`] sealed, for the same address, version and format only.
    pub fn open_value(
        &self,
        key: &WrappedKey,
        at: &Address,
        (version, format): (i64, Format),
        sealed: &Sealed,
    ) -> Result<SecretBytes> {
        let material =
            self.ready(key)?.open(&data_key_context(at, version), &sealed.wrapped_data_key)?;
        let data_key = Key::new(Cipher::Aes256Gcm, &material)?;
        Ok(data_key.open(&value_context(at, version, format), &sealed.value)?)
    }

    /// Seals a caller's plaintext, bound to the key version and the caller's own context.
    pub fn encrypt(&self, key: &WrappedKey, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
        Ok(self.ready(key)?.seal(&encrypt_context(key, context), plaintext)?)
    }

    /// Opens what [`Keyring::encrypt`] sealed. The caller's ciphertext is to blame when it does not open.
    pub fn decrypt(&self, key: &WrappedKey, context: &[u8], sealed: &[u8]) -> Result<SecretBytes> {
        self.ready(key)?
            .open(&encrypt_context(key, context), sealed)
            .map_err(|_| Error::invalid("ciphertext", "does not open with this key and context"))
    }

    /// Drops a key's material from memory until it is active again.
    pub fn drop_key(&self, organisation: &str, key: &str) {
        let mut dropped = self.dropped.write().unwrap_or_else(PoisonError::into_inner);
        dropped.insert((organisation.to_owned(), key.to_owned()));
        self.ready.retain(|(o, k, _), _| o != organisation || k != key);
    }

    /// Lets a key's material be kept in memory again.
    pub fn keep_key(&self, organisation: &str, key: &str) {
        let mut dropped = self.dropped.write().unwrap_or_else(PoisonError::into_inner);
        dropped.remove(&(organisation.to_owned(), key.to_owned()));
    }

    fn ready(&self, key: &WrappedKey) -> Result<Arc<Key>> {
        let name = (key.organisation.clone(), key.key.clone(), key.material.clone());
        if let Some(ready) = self.ready.get(&name) {
            return Ok(ready);
        }
        let material = self.root.unwrap(&material_context(key), &key.material)?;
        let ready = Arc::new(Key::new(key.key_type.cipher(), &material)?);
        // Held while inserting, so that nobody can drop the key in between.
        let dropped = self.dropped.read().unwrap_or_else(PoisonError::into_inner);
        if !dropped.contains(&(key.organisation.clone(), key.key.clone())) {
            self.ready.insert(name, ready.clone());
        }
        Ok(ready)
    }
}

fn material_context(key: &WrappedKey) -> Context {
    Context::new(Purpose::KeyMaterial)
        .text(&key.organisation)
        .text(&key.region)
        .text(&key.project)
        .text(&key.key)
        .text(key.key_type.word())
        .number(key.version)
}

fn data_key_context(at: &Address, version: i64) -> Context {
    address_context(Purpose::DataKey, at, version)
}

fn value_context(at: &Address, version: i64, format: Format) -> Context {
    address_context(Purpose::Value, at, version).text(format.word())
}

fn address_context(purpose: Purpose, at: &Address, version: i64) -> Context {
    Context::new(purpose)
        .text(&at.organisation)
        .text(&at.region)
        .text(&at.project)
        .text(at.path.as_str())
        .number(version)
}

fn encrypt_context(key: &WrappedKey, context: &[u8]) -> Context {
    Context::new(Purpose::KmsEncrypt)
        .text(&key.organisation)
        .text(&key.region)
        .text(&key.project)
        .text(&key.key)
        .number(key.version)
        .bytes(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::KeyType;
    use coffer_api::{SecretPath, SecretText};

    #[test]
    fn a_version_number_that_is_given_out_again_does_not_meet_the_old_material() {
        let text = RootKey::generate_text().unwrap();
        let keyring = || Keyring::new(RootKey::parse(&text).unwrap());
        let mut version = WrappedKey {
            organisation: "o-1".into(),
            region: "r-1".into(),
            project: String::new(),
            key: "kms-1".into(),
            version: 2,
            key_type: KeyType::Aes256Gcm,
            material: Vec::new(),
        };
        let at = Address {
            organisation: "o-1".into(),
            region: "r-1".into(),
            project: String::new(),
            path: SecretPath::parse("/a").unwrap(),
        };
        let value =
            NewValue::from_inputs(Some(&SecretText::encode(b"hunter2")), None, None).unwrap();
        let running = keyring();
        // Used in a batch that is then rolled back.
        running.mint(&mut version).unwrap();
        running.seal_value(&version, &at, 1, &value).unwrap();
        // The next rotation, which is kept.
        running.mint(&mut version).unwrap();
        let sealed = running.seal_value(&version, &at, 1, &value).unwrap();
        let restarted = keyring().open_value(&version, &at, (1, Format::String), &sealed).unwrap();
        assert_eq!(restarted.expose(), b"hunter2");
    }
}
