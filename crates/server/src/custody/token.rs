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
use cryptoki::slot::Slot;
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
        read: Box::new(move || match read_private(&sealed, 0o077)? {
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
    let pin = read_private(&config.pin_file, 0o077)?
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
    let slots = module.get_slots_with_initialized_token()?.into_iter();
    // A slot that does not answer is not the one.
    let is_wanted = |slot: &Slot| {
        module.get_token_info(*slot).is_ok_and(|info| info.label().trim_end() == token)
    };
    match slots.filter(is_wanted).collect::<Vec<_>>()[..] {
        [slot] => {
            let session = module.open_rw_session(slot)?;
            session.login(UserType::User, Some(&AuthPin::new(pin.into())))?;
            Ok(session)
        }
        [] => bail!("there is no token {token}"),
        // SECURITY: the PIN goes to no token that may be somebody else's.
        _ => bail!("there are several tokens {token}; give each a label of its own"),
    }
}

/// `seal[token key](CONTEXT, text)`, AES-256-GCM in the token. What does not open again is never kept.
fn seal(session: &Session, label: &str, text: &str) -> Result<String> {
    let key = match find_keys(session, label)?.first() {
        Some(key) => *key,
        None => make_key(session, label)?,
    };
    let mut nonce = random::array::<NONCE_BYTES>()?;
    // Some tokens choose the nonce themselves and write it there.
    let mechanism = Mechanism::AesGcm(GcmParams::new(&mut nonce, CONTEXT, 128.into())?);
    let sealed = session.encrypt(&mechanism, key, text.as_bytes())?;
    let text_of_seal = format!("{PREFIX}{}\n", STANDARD.encode([&nonce[..], &sealed].concat()));
    let opened = open(session, label, &text_of_seal)?;
    ensure!(*opened == *text, "the token does not open what it has sealed");
    Ok(text_of_seal)
}

fn open(session: &Session, label: &str, text: &str) -> Result<Zeroizing<String>> {
    let encoded = text.trim_end().strip_prefix(PREFIX).context("is no sealed root key")?;
    let bytes = STANDARD.decode(encoded).context("is no sealed root key")?;
    let (nonce, sealed) =
        bytes.split_first_chunk::<NONCE_BYTES>().context("is no sealed root key")?;
    let keys = find_keys(session, label)?;
    ensure!(!keys.is_empty(), "the token has no key {label}");
    // Two first starts may have made two keys; the seal tells which is its own.
    for key in keys {
        let mut nonce = *nonce;
        let mechanism = Mechanism::AesGcm(GcmParams::new(&mut nonce, CONTEXT, 128.into())?);
        if let Ok(opened) = session.decrypt(&mechanism, key, sealed) {
            let opened = Zeroizing::new(opened);
            return Ok(Zeroizing::new(
                std::str::from_utf8(&opened).context("is no root key")?.to_owned(),
            ));
        }
    }
    bail!("no key {label} of the token opens it")
}

/// The sealing keys.
///
/// SECURITY: refused when one of them could be taken out of the token, or the token does not say.
fn find_keys(session: &Session, label: &str) -> Result<Vec<ObjectHandle>> {
    let wanted = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(true),
        Attribute::Label(label.into()),
    ];
    let found = session.find_objects(&wanted)?;
    for key in &found {
        let asked = [AttributeType::Extractable, AttributeType::Sensitive];
        let said = session.get_attributes(*key, &asked)?;
        let stays = said.contains(&Attribute::Extractable(false))
            && said.contains(&Attribute::Sensitive(true));
        ensure!(stays, "the token's key {label} can be extracted; use one that cannot");
    }
    Ok(found)
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
