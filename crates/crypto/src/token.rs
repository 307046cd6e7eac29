//! Personal access tokens, `tc_pat_` and 40 random base62 characters, and access keys (contract, section 14, 39).

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::{Refused, random};

/// What a personal access token begins with.
pub const PAT_PREFIX: &str = "tc_pat_";
/// Characters of a whole token, the prefix included.
const PAT_BYTES: usize = 47;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// SHA-256 of a token's text: what a store keeps and looks up. A token has 238 random bits, so neither
/// salt nor stretching would add anything.
pub type TokenHash = [u8; 32];

/// What an access key begins with, and its secret.
pub const ACCESS_KEY_PREFIX: &str = "tc_ak_";
/// See [`ACCESS_KEY_PREFIX`].
pub const ACCESS_SECRET_PREFIX: &str = "tc_sk_";

/// What the token of an administrator of the platform begins with.
pub const ADMINISTRATOR_PREFIX: &str = "tc_adm_";
/// What the code of an invite begins with.
pub const INVITE_PREFIX: &str = "tc_inv_";

/// A fresh token of an administrator of the platform.
pub fn mint_administrator() -> Result<Zeroizing<String>, Refused> {
    mint(ADMINISTRATOR_PREFIX, PAT_BYTES)
}

/// A fresh code of an invite, with as many random bits as a token.
pub fn mint_invite() -> Result<Zeroizing<String>, Refused> {
    mint(INVITE_PREFIX, PAT_BYTES)
}

/// A fresh personal access token.
pub fn mint_pat() -> Result<Zeroizing<String>, Refused> {
    mint(PAT_PREFIX, PAT_BYTES)
}

/// A fresh access key, which is a name, with its secret, which has 238 random bits like a token.
pub fn mint_access_key() -> Result<(String, Zeroizing<String>), Refused> {
    let key = mint(ACCESS_KEY_PREFIX, 26)?;
    Ok((key.as_str().to_owned(), mint(ACCESS_SECRET_PREFIX, 46)?))
}

/// The hash under which an access key is looked up: with its secret, so that neither is of use alone.
pub fn hash_access_key(key: &str, secret: &str) -> TokenHash {
    hash(&Zeroizing::new([key, ":", secret].concat()))
}

/// `prefix` and random base62 characters, `bytes` in all.
fn mint(prefix: &str, bytes: usize) -> Result<Zeroizing<String>, Refused> {
    let mut token = Zeroizing::new(String::with_capacity(bytes));
    token.push_str(prefix);
    while token.len() < bytes {
        // Six bits a draw; the two draws of 64 that name no character are thrown away, so none is favoured.
        let [byte] = random::array::<1>()?;
        if let Some(character) = BASE62.get(usize::from(byte & 63)) {
            token.push(char::from(*character));
        }
    }
    Ok(token)
}

/// The hash under which a token is looked up.
pub fn hash(token: &str) -> TokenHash {
    let mut hash = TokenHash::default();
    for (to, from) in hash.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()) {
        *to = *from;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_form() {
        let token = mint_pat().unwrap();
        let random = token.strip_prefix(PAT_PREFIX).unwrap();
        assert_eq!(random.len(), 40);
        assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(*token, *mint_pat().unwrap());
    }

    #[test]
    fn an_access_key_has_its_form() {
        let (key, secret) = mint_access_key().unwrap();
        assert!(key.starts_with("tc_ak_") && key.len() == 26);
        assert!(secret.starts_with("tc_sk_") && secret.len() == 46);
        assert_eq!(hash_access_key(&key, &secret), hash(&format!("{key}:{}", *secret)));
    }

    #[test]
    fn administrators_and_invites_have_their_own_forms() {
        for (prefix, minted) in
            [(ADMINISTRATOR_PREFIX, mint_administrator()), (INVITE_PREFIX, mint_invite())]
        {
            let text = minted.unwrap();
            let random = text.strip_prefix(prefix).unwrap();
            assert_eq!(random.len(), 40);
            assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn the_hash_is_sha_256() {
        // FIPS 180-4 example: "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let actual: String = hash("abc").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(actual, expected);
    }
}
