//! Fresh bytes from the system's generator, through AWS-LC.

use crate::{Refused, SecretBytes};

/// `N` fresh bytes. Errors when the system has no randomness to give.
pub fn array<const N: usize>() -> Result<[u8; N], Refused> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Refused)?;
    Ok(bytes)
}

/// `count` fresh bytes that are zeroed when dropped.
pub fn secret(count: usize) -> Result<SecretBytes, Refused> {
    let mut bytes = vec![0; count];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Refused)?;
    Ok(SecretBytes::new(bytes))
}
