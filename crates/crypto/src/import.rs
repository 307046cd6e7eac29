//! Bring your own key: material that was wrapped for a region's wrapping key (contract, section 14, 22).

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
use zeroize::Zeroizing;

use crate::algorithm::Algorithm;
use crate::digest::Digest;
use crate::rsa::{Modulus, RsaKey};
use crate::{Refused, SecretBytes};

/// The wrapping key's size.
pub const WRAPPING_MODULUS: Modulus = Modulus::Bits4096;

/// Key material of `algorithm` out of a blob: `RSA-OAEP(AES-256 key) ‖ AES-KWP[AES-256 key](material)` (RFC
/// 5649), or, when the blob is as long as one RSA block, `RSA-OAEP(material)` of a symmetric key. OAEP and
/// its MGF1 use `digest`.
///
/// SECURITY: every failure is the same one, so that somebody else's blob tells nothing by how it fails.
pub fn import(
    algorithm: Algorithm,
    wrapping: &RsaKey,
    digest: Digest,
    blob: &[u8],
) -> Result<SecretBytes, Refused> {
    let (block, wrapped) = blob.split_at_checked(WRAPPING_MODULUS.bytes()).ok_or(Refused)?;
    let opened = wrapping.decrypt_with(digest, block)?;
    match (wrapped.is_empty(), algorithm) {
        (true, Algorithm::Aead(_)) => algorithm.import(&opened),
        (true, _) => Err(Refused),
        (false, _) => algorithm.import(&unwrap_padded(opened.expose(), wrapped)?),
    }
}

/// `AES-KWP⁻¹[kek](wrapped)`, RFC 5649.
pub(crate) fn unwrap_padded(kek: &[u8], wrapped: &[u8]) -> Result<SecretBytes, Refused> {
    let kek = AesKek::new(&AES_256, kek).map_err(|_| Refused)?;
    let mut out = Zeroizing::new(vec![0; wrapped.len()]);
    let material = kek.unwrap_with_padding(wrapped, &mut out).map_err(|_| Refused)?;
    Ok(SecretBytes::new(material.to_vec()))
}
