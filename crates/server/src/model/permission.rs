//! What rules grant: words, and sets of them.

/// What a rule can grant. The coarse words are those of section 4.1, the others those of 2.9 and 3.16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    Create,
    Read,
    Update,
    Delete,
    List,
    GetSecretValue,
    PutSecretValue,
    Encrypt,
    Decrypt,
    Sign,
    Verify,
    Hmac,
    VerifyHmac,
    Rotate,
    Export,
}

impl Permission {
    pub const ALL: [(Self, &'static str); 15] = [
        (Self::Create, "create"),
        (Self::Read, "read"),
        (Self::Update, "update"),
        (Self::Delete, "delete"),
        (Self::List, "list"),
        (Self::GetSecretValue, "getSecretValue"),
        (Self::PutSecretValue, "putSecretValue"),
        (Self::Encrypt, "encrypt"),
        (Self::Decrypt, "decrypt"),
        (Self::Sign, "sign"),
        (Self::Verify, "verify"),
        (Self::Hmac, "hmac"),
        (Self::VerifyHmac, "verify-hmac"),
        (Self::Rotate, "rotate"),
        (Self::Export, "export"),
    ];

    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(known, _)| *known == self).map_or("", |(_, word)| word)
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(permission, _)| *permission)
    }

    /// Whether it is one of the fine words that `update` on a key stands for as well (contract, section 3.16).
    pub fn is_use_of_keys(self) -> bool {
        use Permission::{Decrypt, Encrypt, Export, Hmac, Rotate, Sign, Verify, VerifyHmac};
        [Encrypt, Decrypt, Sign, Verify, Hmac, VerifyHmac, Rotate, Export].contains(&self)
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u32);

impl Permissions {
    pub const EVERY: Self = Self(u32::MAX);

    /// Reads the words of a rule; `*` is all of them, unknown words grant nothing.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        words.into_iter().fold(Self::default(), |set, word| match word {
            "*" => Self::EVERY,
            _ => Permission::ALL
                .iter()
                .find(|(_, known)| *known == word)
                .map_or(set, |(permission, _)| Self(set.0 | 1 << *permission as u32)),
        })
    }

    /// The words of the set; `*` for all.
    pub fn words(self) -> Vec<&'static str> {
        match self == Self::EVERY {
            true => vec!["*"],
            false => {
                let known = Permission::ALL.iter().filter(|(known, _)| self.contains(*known));
                known.map(|(_, word)| *word).collect()
            }
        }
    }

    /// Whether the two have anything in common.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn contains(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u32) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_make_sets() {
        let set = Permissions::from_words(["read", "getSecretValue", "nonsense"]);
        assert!(set.contains(Permission::Read) && set.contains(Permission::GetSecretValue));
        assert!(!set.contains(Permission::List) && !set.contains(Permission::Create));
        assert!(Permission::ALL.iter().all(|(p, _)| Permissions::from_words(["*"]).contains(*p)));
        assert_eq!(Permissions::from_words(["READ", "Read"]), Permissions::default());
    }
}
