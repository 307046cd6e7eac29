//! Personal access tokens: `tc_pat_` and 40 random base62 characters (contract, section 14, 39).

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

/// A fresh personal access token.
pub fn mint_pat() -> Result<Zeroizing<String>, Refused> {
    let mut token = Zeroizing::new(String::with_capacity(PAT_BYTES));
    token.push_str(PAT_PREFIX);
    while token.len() < PAT_BYTES {
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
    fn the_hash_is_sha_256() {
        // FIPS 180-4 example: "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let actual: String = hash("abc").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(actual, expected);
    }
}
