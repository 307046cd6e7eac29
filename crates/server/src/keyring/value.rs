//! Values of secrets: each under a data key of its own, that under the secret's key.

use coffer_crypto::{Cipher, Key, Ready, SecretBytes};

use super::{Keyring, Permit, context};
use crate::error::{Error, Result};
use crate::model::key::WrappedKey;
use crate::model::secret::{Address, Format, NewValue, Sealed};

impl Keyring {
    /// Seals a secret version's value under a fresh data key, and that under the key version.
    pub fn seal_value(
        &self,
        key: &WrappedKey,
        at: &Address,
        version: i64,
        value: &NewValue,
        _permit: &Permit,
    ) -> Result<Sealed> {
        let material = Cipher::Aes256Gcm.generate()?;
        let data_key = Key::new(Cipher::Aes256Gcm, &material)?;
        let wrapping = self.ready(key)?;
        Ok(Sealed {
            value: data_key
                .seal(&context::value(at, version, value.format), value.bytes.expose())?,
            wrapped_data_key: symmetric(&wrapping)?
                .seal(&context::data_key(at, version), material.expose())?,
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
        let wrapping = self.ready(key)?;
        let material = symmetric(&wrapping)?
            .open(&context::data_key(at, version), &sealed.wrapped_data_key)?;
        let data_key = Key::new(Cipher::Aes256Gcm, &material)?;
        Ok(data_key.open(&context::value(at, version, format), &sealed.value)?)
    }
}

fn symmetric(ready: &Ready) -> Result<&Key> {
    match ready {
        Ready::Aead(key) => Ok(key),
        _ => Err(Error::bug("a secret is bound to a key that is not symmetric")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::{VersionName, Wrapped};
    use coffer_api::{SecretPath, SecretText};
    use coffer_crypto::{Algorithm, RootKey};

    #[test]
    fn a_version_number_that_is_given_out_again_does_not_meet_the_old_material() {
        let text = RootKey::generate_text().unwrap();
        let keyring = || Keyring::new(RootKey::parse(&text).unwrap(), Vec::new());
        let name = VersionName {
            organisation: "o-1".into(),
            region: "r-1".into(),
            project: String::new(),
            key: "kms-1".into(),
            version: 2,
            algorithm: Algorithm::Aead(Cipher::Aes256Gcm),
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
        let seal = |wrapped: Wrapped| {
            let key = WrappedKey { name: name.clone(), wrapped };
            (running.seal_value(&key, &at, 1, &value, &Permit::unlimited()).unwrap(), key)
        };
        let mint =
            || running.wrap_fresh(&name, &running.generate(name.algorithm).unwrap()).unwrap();
        // Used in a batch that is then rolled back.
        seal(mint());
        // The next rotation, which is kept.
        let (sealed, key) = seal(mint());
        let restarted = keyring().open_value(&key, &at, (1, Format::String), &sealed).unwrap();
        assert_eq!(restarted.expose(), b"hunter2");
    }
}
