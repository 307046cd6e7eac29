//! Access tokens of ours: given out as signed text, and taken back (contract, section 14, 36).

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use coffer_crypto::token;
use zeroize::Zeroizing;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate;
use crate::keyring::SigningKey;
use crate::model::access_token::{AccessToken, header};
use crate::model::key::SigningPurpose;

/// A token as text.
pub(super) async fn mint(app: &Arc<App>, says: &AccessToken) -> Result<Zeroizing<String>> {
    let key = make_signing_key(app).await?;
    let message = [header(key.id()), says.payload(&app.issuer())?].join(".");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes())?);
    Ok(Zeroizing::new([message, signature].join(".")))
}

/// What a token says, when we have signed it and it has not expired.
///
/// SECURITY: only that. Whether what it was given for still holds is for the directory, at every call.
pub(super) async fn verify(app: &App, text: &str) -> Result<Arc<AccessToken>> {
    let refuse = |cause| Error::Unauthenticated { cause };
    let hash = token::hash(text);
    let says = match app.verified.find(&hash) {
        Some(says) => says,
        None => {
            let key = find_signing_key(app).await?.ok_or(refuse("unknown token"))?;
            let says = read(&key, &app.issuer(), text).ok_or(refuse("not a token of ours"))?;
            let says = Arc::new(says);
            app.verified.keep(hash, says.clone());
            says
        }
    };
    if says.expires_at <= app.clock.now() {
        app.verified.forget(&hash);
        return Err(refuse("expired token"));
    }
    Ok(says)
}

/// The header is compared with the one that we write, so nothing in it can choose an algorithm or a key.
fn read(key: &SigningKey, issuer: &str, text: &str) -> Option<AccessToken> {
    let (message, signature) = text.rsplit_once('.')?;
    let payload = message.strip_prefix(&header(key.id()))?.strip_prefix('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    match key.verifies(message.as_bytes(), &signature) {
        true => AccessToken::parse(payload, issuer),
        false => None,
    }
}

/// The public key of our tokens with its name, once there is one.
pub async fn public_key(app: &App) -> Result<Option<(String, String)>> {
    let key = find_signing_key(app).await?;
    Ok(key.map(|key| (key.id().to_owned(), URL_SAFE_NO_PAD.encode(key.public()))))
}

async fn find_signing_key(app: &App) -> Result<Option<Arc<SigningKey>>> {
    if let Some(key) = app.keyring.signing_key() {
        return Ok(Some(key));
    }
    let found =
        gate::inspect(app, async |tx| tx.find_signing_key(SigningPurpose::AccessTokens).await)
            .await?;
    found.map(|(id, wrapped)| app.keyring.open_signing_key(&id, &wrapped)).transpose()
}

/// The signing key, made when the first token is given out.
async fn make_signing_key(app: &Arc<App>) -> Result<Arc<SigningKey>> {
    if let Some(key) = app.keyring.signing_key() {
        return Ok(key);
    }
    let (id, wrapped) = gate::own_key(app, SigningPurpose::AccessTokens).await?;
    app.keyring.open_signing_key(&id, &wrapped)
}
