//! Root keys sealed by a PKCS#11 token: a key that never leaves the token seals the root key, which stands sealed
//! in a file. The token is asked once, at start; never for a request.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_crypto::random;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use super::files::read_private;
use super::{Custody, WhenThere, write_private};
use crate::config::Pkcs11Config;

const PREFIX: &str = "coffer-sealed-root-key-1:";
/// Additional data of the seal.
const CONTEXT: &[u8] = b"coffer/1/sealed-root-key";
const NONCE_BYTES: usize = 12;

/// The root key sealed in `file` by a key of the token.
pub fn custody(config: &Pkcs11Config, file: &Path) -> Custody {
    let (reading, keeping) = (config.clone(), config.clone());
    let (sealed, kept) = (file.to_owned(), file.to_owned());
    Custody {
        place: format!("{}, sealed by token {}", file.display(), config.token),
        read: Box::new(move || match read_private(&sealed)? {
            Some(text) => {
                with_token(&reading, |session| open(session, &reading.key, &text)).map(Some)
            }
            None => Ok(None),
        }),
        keep: Some(Box::new(move |text| {
            let sealed = with_token(&keeping, |session| seal(session, &keeping.key, text))?;
            write_private(&kept, sealed.as_bytes(), WhenThere::Refuse)
        })),
    }
}

/// Does something with the token, logged in.
fn with_token<T>(config: &Pkcs11Config, act: impl FnOnce(&Session) -> Result<T>) -> Result<T> {
    let pin = read_private(&config.pin_file)?
        .with_context(|| format!("{} is missing", config.pin_file.display()))?;
    let module = Pkcs11::new(&config.module)
        .with_context(|| format!("cannot load {}", config.module.display()))?;
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let done = find_session(&module, &config.token, pin.trim_end()).and_then(|session| {
        let done = act(&session);
        let _ = session.logout();
        done
    });
    let _ = module.finalize();
    done
}

fn find_session(module: &Pkcs11, token: &str, pin: &str) -> Result<Session> {
    for slot in module.get_slots_with_initialized_token()? {
        if module.get_token_info(slot)?.label().trim_end() == token {
            let session = module.open_rw_session(slot)?;
            session.login(UserType::User, Some(&AuthPin::new(pin.into())))?;
            return Ok(session);
        }
    }
    bail!("there is no token {token}")
}

/// `seal[token key](CONTEXT, text)`, AES-256-GCM in the token, with a nonce of ours.
fn seal(session: &Session, label: &str, text: &str) -> Result<String> {
    let key = find_key(session, label)?.map_or_else(|| make_key(session, label), Ok)?;
    let nonce = random::array::<NONCE_BYTES>()?;
    let mut used = nonce;
    let mechanism = Mechanism::AesGcm(GcmParams::new(&mut used, CONTEXT, 128.into())?);
    let sealed = session.encrypt(&mechanism, key, text.as_bytes())?;
    Ok(format!("{PREFIX}{}\n", STANDARD.encode([&nonce[..], &sealed].concat())))
}

fn open(session: &Session, label: &str, text: &str) -> Result<Zeroizing<String>> {
    let encoded = text.trim_end().strip_prefix(PREFIX).context("is no sealed root key")?;
    let bytes = STANDARD.decode(encoded).context("is no sealed root key")?;
    let (nonce, sealed) =
        bytes.split_first_chunk::<NONCE_BYTES>().context("is no sealed root key")?;
    let key = find_key(session, label)?;
    let key = key.with_context(|| format!("the token has no key {label}"))?;
    let mut used = *nonce;
    let mechanism = Mechanism::AesGcm(GcmParams::new(&mut used, CONTEXT, 128.into())?);
    let opened = session.decrypt(&mechanism, key, sealed);
    let opened = Zeroizing::new(opened.context("the token's key does not open it")?);
    Ok(Zeroizing::new(std::str::from_utf8(&opened).context("is no root key")?.to_owned()))
}

/// The sealing key.
///
/// SECURITY: refused when it could be taken out of the token.
fn find_key(session: &Session, label: &str) -> Result<Option<ObjectHandle>> {
    let wanted = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(true),
        Attribute::Label(label.into()),
    ];
    let found = session.find_objects(&wanted)?;
    ensure!(found.len() <= 1, "the token has several keys {label}");
    let Some(key) = found.first() else { return Ok(None) };
    let asked = [AttributeType::Extractable, AttributeType::Sensitive];
    for attribute in session.get_attributes(*key, &asked)? {
        match attribute {
            Attribute::Extractable(false) | Attribute::Sensitive(true) => {}
            _ => bail!("the token's key {label} can be extracted; use one that cannot"),
        }
    }
    Ok(Some(*key))
}

fn make_key(session: &Session, label: &str) -> Result<ObjectHandle> {
    let template = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::ValueLen(32.into()),
        Attribute::Label(label.into()),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template).context("cannot make a key in the token")
}
