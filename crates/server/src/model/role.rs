//! Roles, rules and bindings as they are kept and shown; `decide` has them compiled.

use coffer_api::{CreateRuleRequest, Map};

use super::action::{Permission, Permissions, Resource};
use super::decide::{Grant, HandOn};
use super::identity::User;
use super::scopes::Scopes;
use crate::error::{Error, Result, shorten};

/// A named set of rules.
#[derive(Debug, Clone)]
pub struct Role {
    pub id: String,
    pub slug: String,
    pub name: String,
    pub description: String,
    pub labels: Map,
    pub annotations: Map,
    /// Its rules stand in the code, and nobody changes it.
    pub system: bool,
    pub created_at: i64,
    pub updated_at: i64,
    pub object_version: i64,
}

impl Role {
    pub fn check_changeable(&self) -> Result<()> {
        match self.system {
            true => Err(Error::invalid("", "a system role is read-only")),
            false => Ok(()),
        }
    }
}

/// What a role grants: permissions on resources, on some identities or (none listed) on all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    pub id: String,
    pub resources: Vec<String>,
    pub identities: Vec<String>,
    pub permissions: Vec<String>,
    pub note: String,
}

/// What ties a role to whoever holds it.
#[derive(Debug, Clone)]
pub struct Binding {
    pub id: String,
    pub name: String,
    pub description: String,
    pub labels: Map,
    pub annotations: Map,
    pub scopes: Scopes,
    pub created_at: i64,
    pub holder: Holder,
}

/// Who holds a role.
#[derive(Debug, Clone)]
pub enum Holder {
    User(User),
    Team(Named),
    ServiceAccount(Named),
}

/// A holder as a binding shows it.
#[derive(Debug, Clone)]
pub struct Named {
    pub id: String,
    pub slug: String,
    pub name: String,
    pub created_at: i64,
}

const LIST_MAX: usize = 64;
const IDENTITY_BYTES_MAX: usize = 512;

impl Holder {
    /// The word of its kind, and its identity.
    pub fn kind_and_id(&self) -> (&'static str, &str) {
        match self {
            Self::User(user) => ("user", &user.subject),
            Self::Team(team) => ("team", &team.id),
            Self::ServiceAccount(account) => ("service_account", &account.id),
        }
    }
}

impl Rule {
    /// A rule as it was sent, checked.
    pub fn of_request(id: String, sent: &CreateRuleRequest) -> Result<Self> {
        let rule = Self {
            id,
            resources: sent.resources.clone(),
            identities: sent.resource_identities.clone().unwrap_or_default(),
            permissions: sent.permissions.clone(),
            note: sent.note.clone().unwrap_or_default(),
        };
        rule.check()?;
        Ok(rule)
    }

    /// Checks a rule as sent. Words that mean nothing are refused: a mistyped one would grant nothing, quietly.
    fn check(&self) -> Result<()> {
        check_list("resources", &self.resources, |word| word == "*" || is_resource_type(word))?;
        check_list("permissions", &self.permissions, |word| {
            word == "*" || Permission::from_word(word).is_some()
        })?;
        if self.resources.is_empty() || self.permissions.is_empty() {
            return Err(Error::invalid("", "a rule needs resources and permissions"));
        }
        check_list("resourceIdentities", &self.identities, |identity| {
            !identity.is_empty() && identity.len() <= IDENTITY_BYTES_MAX
        })?;
        match self.note.chars().count() > super::limits::DESCRIPTION_CHARS_MAX {
            true => Err(Error::invalid("note", "longer than 1024 characters")),
            false => Ok(()),
        }
    }

    /// Whether whoever has these grants holds all that the rule grants, so as to hand it on as far as `reach`
    /// (contract, section 14, 35).
    ///
    /// Each permission on each resource must be held on all of each identity. A grant that is bound to scopes
    /// counts for nothing here.
    pub fn is_held(&self, grants: &[Grant], reach: HandOn) -> bool {
        let all = [String::from("*")];
        let identities = if self.identities.is_empty() { &all[..] } else { &self.identities };
        self.resources.iter().all(|resource| {
            self.permissions.iter().all(|permission| {
                identities.iter().all(|identity| {
                    grants.iter().any(|grant| {
                        grant.hand_on >= reach && holds(grant, resource, permission, identity)
                    })
                })
            })
        })
    }
}

fn check_list(field: &str, list: &[String], is_known: impl Fn(&str) -> bool) -> Result<()> {
    if list.len() > LIST_MAX {
        return Err(Error::invalid(field, format!("more than {LIST_MAX} entries")));
    }
    let again = list.iter().enumerate().find(|(at, word)| list[..*at].contains(word));
    if let Some((_, word)) = again {
        return Err(Error::invalid(field, format!("`{}` stands twice", shorten(word))));
    }
    match list.iter().all(|word| is_known(word)) {
        true => Ok(()),
        false => Err(Error::invalid(field, "holds a word that means nothing here")),
    }
}

/// Types of other products of the API may stand in rules as well; they grant nothing here.
fn is_resource_type(word: &str) -> bool {
    (1..=64).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Refuses rules that would take long to compare with grants: what is compared is bytes of identities with bytes
/// of patterns, once for each type of resource and word.
pub fn check_comparable(rules: &[Rule], grants: &[Grant]) -> Result<()> {
    const STEPS_MAX: usize = 1 << 30;
    let bytes =
        |texts: &mut dyn Iterator<Item = usize>| texts.map(|bytes| bytes + 16).sum::<usize>();
    let asked: usize = rules
        .iter()
        .map(|rule| {
            let identities = bytes(&mut rule.identities.iter().map(String::len)).max(16);
            rule.resources.len() * rule.permissions.len() * identities
        })
        .sum();
    let held: usize = grants
        .iter()
        .map(|grant| bytes(&mut grant.patterns.iter().map(|p| p.as_str().len())).max(16))
        .sum();
    match asked.saturating_mul(held) > STEPS_MAX {
        true => Err(Error::invalid("", "too many rules to compare with what you hold; split them")),
        false => Ok(()),
    }
}

fn holds(grant: &Grant, resource: &str, permission: &str, identity: &str) -> bool {
    let covers_resource = match &grant.resources {
        None => true,
        Some(names) => resource != "*" && names.iter().any(|name| name == resource),
    };
    // `*` in the rule's pattern is a byte like any other to the grant's, which only its own `*` can match: so a
    // grant's pattern matches the text of the rule's exactly when it matches all that the rule's does.
    let covers_identity =
        grant.patterns.is_empty() || grant.patterns.iter().any(|own| own.matches(identity));
    grant.scopes.are_unrestricted()
        && covers_resource
        && covers_identity
        && match Permission::from_word(permission) {
            None => grant.permissions == Permissions::EVERY,
            Some(wanted) => {
                grant.permissions.contains(wanted)
                    // `update` on keys is all of these (contract, section 3.16).
                    || (resource == Resource::KmsKey.name()
                        && wanted.is_use_of_keys()
                        && grant.permissions.contains(Permission::Update))
            }
        }
}

#[cfg(test)]
mod tests {
    use super::super::decide::{Target, allows};
    use super::super::{action::Action, roles};
    use super::*;
    use proptest::prelude::*;

    fn rule(resources: &[&str], identities: &[&str], permissions: &[&str]) -> Rule {
        let own = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        Rule {
            resources: own(resources),
            identities: own(identities),
            permissions: own(permissions),
            ..Rule::default()
        }
    }

    fn compiled(rule: &Rule) -> Grant {
        fn words(list: &[String]) -> Vec<&str> {
            list.iter().map(String::as_str).collect()
        }
        roles::compile(
            "r",
            &words(&rule.resources),
            &words(&rule.identities),
            &words(&rule.permissions),
        )
    }

    #[test]
    fn what_is_held_may_be_granted() {
        for (own, wanted, expected) in [
            (rule(&["*"], &[], &["*"]), rule(&["*"], &[], &["*"]), true),
            (rule(&["secret"], &[], &["*"]), rule(&["*"], &[], &["read"]), false),
            (rule(&["secret"], &[], &["*"]), rule(&["secret"], &[], &["*"]), true),
            (rule(&["secret"], &[], &["read"]), rule(&["secret"], &[], &["read", "list"]), false),
            (rule(&["secret"], &["/app/*"], &["read"]), rule(&["secret"], &[], &["read"]), false),
            (
                rule(&["secret"], &["/app/*"], &["read"]),
                rule(&["secret"], &["/app/production/*", "/app/x"], &["read"]),
                true,
            ),
            (
                rule(&["secret"], &["/app/*"], &["read"]),
                rule(&["secret"], &["/app*"], &["read"]),
                false,
            ),
            (
                rule(&["secret"], &["/*/db"], &["read"]),
                rule(&["secret"], &["/*/x/*/db"], &["read"]),
                true,
            ),
            (rule(&["kms_key"], &[], &["update"]), rule(&["kms_key"], &[], &["decrypt"]), true),
            (rule(&["kms_key"], &[], &["decrypt"]), rule(&["kms_key"], &[], &["update"]), false),
            (
                rule(&["secret"], &[], &["update"]),
                rule(&["secret"], &[], &["getSecretValue"]),
                false,
            ),
        ] {
            let held = wanted.is_held(&[compiled(&own)], HandOn::Below);
            assert_eq!(held, expected, "{own:?} {wanted:?}");
        }
        let halves = [
            compiled(&rule(&["secret"], &["/a/*"], &["read"])),
            compiled(&rule(&["secret"], &["/b/*"], &["read"])),
        ];
        let below = HandOn::Below;
        assert!(rule(&["secret"], &["/a/x", "/b/x"], &["read"]).is_held(&halves, below));
        assert!(!rule(&["secret"], &["/*"], &["read"]).is_held(&halves, below));
        let read_only = Scopes::parse(&["api:read".to_owned()]).unwrap();
        let bound = Grant { scopes: read_only, ..compiled(&rule(&["*"], &[], &["*"])) };
        assert!(!rule(&["secret"], &[], &["read"]).is_held(&[bound], HandOn::InProject));
        let here = Grant { hand_on: HandOn::InProject, ..compiled(&rule(&["*"], &[], &["*"])) };
        let here = [here];
        assert!(rule(&["secret"], &[], &["*"]).is_held(&here, HandOn::InProject));
        assert!(!rule(&["secret"], &[], &["*"]).is_held(&here, HandOn::Below));
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        for bad in [
            rule(&[], &[], &["read"]),
            rule(&["secret"], &[], &[]),
            rule(&["secret", "secret"], &[], &["read"]),
            rule(&["Secret"], &[], &["read"]),
            rule(&[""], &[], &["read"]),
            rule(&["secret"], &[], &["reveal"]),
            rule(&["secret"], &[], &["READ"]),
            rule(&["secret"], &[""], &["read"]),
            rule(&["secret"], &["x".repeat(513).as_str()], &["read"]),
            rule(&["secret"], &vec!["/a"; 65], &["read"]),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        rule(&["secret", "kms_key", "cloud_vpc", "*"], &["/app/*"], &["read", "*"])
            .check()
            .unwrap();
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let resources = prop::sample::subsequence(vec!["secret", "kms_key", "*"], 1..3);
        let identities = prop::collection::vec("[/ab*]{1,5}", 0..3);
        let words = vec!["read", "list", "update", "getSecretValue", "decrypt", "*"];
        (resources, identities, prop::sample::subsequence(words, 1..4)).prop_map(
            |(resources, identities, permissions)| {
                let identities: Vec<_> = identities.iter().map(String::as_str).collect();
                rule(&resources, &identities, &permissions)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// Nobody can give themselves anything: what the granted rule allows, the grants allowed before.
        #[test]
        fn a_rule_that_is_held_allows_nothing_new(
            own in prop::collection::vec(any_rule(), 0..4),
            wanted in any_rule(),
            at in 0..Action::ALL.len(),
            identity in "[/ab]{0,5}",
        ) {
            let grants: Vec<_> = own.iter().map(compiled).collect();
            let Some(action) = Action::ALL.get(at).copied() else { return Ok(()) };
            let target = Target::One(&identity);
            if wanted.is_held(&grants, HandOn::Below) && allows(&[compiled(&wanted)], action, target) {
                prop_assert!(allows(&grants, action, target), "{own:?} {wanted:?} {action}");
            }
        }
    }
}
