//! The decision: grants, an action, a target → allowed or not. Pure; grants only ever add.

use super::action::{Action, Audience, Permission, Permissions, Resource};
use super::pattern::Pattern;
use super::scopes::Scopes;

/// One rule of one role that is bound to the caller, compiled.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The role's slug, for explanations.
    pub role: String,
    /// Resource types, `None` for all.
    pub resources: Option<Vec<String>>,
    /// Identities, empty for all.
    pub patterns: Vec<Pattern>,
    pub permissions: Permissions,
    /// Of the binding: what it grants is good for no more than these.
    pub scopes: Scopes,
    pub hand_on: HandOn,
}

/// How far its holder may hand a grant on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HandOn {
    /// It counts for a while or under conditions.
    Never,
    /// By a policy of one project.
    InProject,
    /// By a role of the organisation, or a policy that holds in a project and all below it: there.
    Below,
}

/// What an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A collection, whose items are filtered one by one: held on any identity at all is enough.
    Some,
    /// One thing: the path of a secret, the identity of anything else.
    One(&'a str),
}

impl Grant {
    fn covers_kind(&self, resource: Resource, permission: Permission) -> bool {
        self.permissions.contains(permission)
            && self
                .resources
                .as_ref()
                .is_none_or(|names| names.iter().any(|name| name == resource.name()))
    }

    fn covers(&self, resource: Resource, permission: Permission, target: Target<'_>) -> bool {
        self.covers_kind(resource, permission)
            && match target {
                Target::Some => true,
                Target::One(identity) => {
                    self.patterns.is_empty() || self.patterns.iter().any(|p| p.matches(identity))
                }
            }
    }
}

/// The grant that allows `action` on `target`, if any. Actions without a permission need none.
pub fn decide<'a>(grants: &'a [Grant], action: Action, target: Target<'_>) -> Option<&'a Grant> {
    let rule = action.rule();
    let (resource, any_of, target) = match rule.audience {
        Audience::Holders(any_of) => (rule.resource, any_of, target),
        // `*` is a byte like any other here, which only a pattern that covers all can match.
        Audience::RoleReaders => (Resource::Role, &[Permission::Read][..], Target::One("*")),
        Audience::Authenticated | Audience::Members | Audience::Administrators => return None,
    };
    grants.iter().find(|grant| {
        grant.scopes.allow(action) && any_of.iter().any(|p| grant.covers(resource, *p, target))
    })
}

/// Whether `action` is allowed on `target`.
pub fn allows(grants: &[Grant], action: Action, target: Target<'_>) -> bool {
    match action.rule().audience {
        Audience::Authenticated | Audience::Members => true,
        // SECURITY: no grant of an organisation reaches the platform.
        Audience::Administrators => false,
        Audience::Holders(_) | Audience::RoleReaders => decide(grants, action, target).is_some(),
    }
}

/// The literal prefixes below which anything readable must lie, so that a list can skip the rest.
/// One empty prefix stands for everywhere.
pub fn readable_prefixes(grants: &[Grant]) -> Vec<&str> {
    let mut prefixes = Vec::new();
    for grant in grants.iter().filter(|g| g.covers_kind(Resource::Secret, Permission::Read)) {
        match grant.patterns.is_empty() {
            true => return vec![""],
            false => prefixes.extend(grant.patterns.iter().map(Pattern::literal_prefix)),
        }
    }
    prefixes.sort_unstable();
    // A prefix that begins with an earlier one adds nothing.
    prefixes.dedup_by(|later, earlier| later.starts_with(*earlier));
    prefixes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grant(resources: &[&str], patterns: &[&str], permissions: &[&str]) -> Grant {
        Grant {
            role: "test".into(),
            resources: (!resources.contains(&"*"))
                .then(|| resources.iter().map(|r| (*r).to_owned()).collect()),
            patterns: patterns.iter().map(|p| Pattern::new(p)).collect(),
            permissions: Permissions::from_words(permissions.iter().copied()),
            scopes: Scopes::default(),
            hand_on: HandOn::Below,
        }
    }

    #[test]
    fn a_table_of_decisions() {
        let grants = [
            grant(&["secret"], &["/app/production/*"], &["getSecretValue", "list"]),
            grant(&["secret"], &["/infra/*"], &["*"]),
            grant(&["kms_key"], &[], &["update"]),
        ];
        for (action, target, expected) in [
            (Action::GetSecretValue, Target::One("/app/production/db/password"), true),
            (Action::GetSecretValue, Target::One("/app/staging/db"), false),
            (Action::PutSecretValue, Target::One("/app/production/db/password"), false),
            (Action::PutSecretValue, Target::One("/infra/x"), true),
            (Action::ReadSecret, Target::One("/app/production/x"), false),
            (Action::ListSecrets, Target::Some, true),
            (Action::CreateSecret, Target::One("/infra/new"), true),
            (Action::CreateSecret, Target::One("/infra"), false),
            (Action::Encrypt, Target::One("kms-1"), true),
            (Action::RotateKey, Target::One("kms-1"), true),
            (Action::ReadKey, Target::One("kms-1"), false),
            (Action::DeleteKey, Target::One("kms-1"), false),
            (Action::ListAudit, Target::Some, false),
            (Action::KmsSummary, Target::Some, true),
        ] {
            assert_eq!(allows(&grants, action, target), expected, "{action} {target:?}");
        }
        assert!(!allows(&[], Action::ListSecrets, Target::Some));
    }

    #[test]
    fn no_grant_of_an_organisation_reaches_the_platform() {
        let everything =
            [grant(&["*"], &[], &["*"]), grant(&["organisation"], &["*"], &["update"])];
        for action in Action::ALL {
            if action.rule().audience == Audience::Administrators {
                assert!(!allows(&everything, *action, Target::Some), "{action}");
                assert!(!allows(&everything, *action, Target::One("o-1")), "{action}");
            }
        }
    }

    #[test]
    fn an_explanation_is_for_readers_of_every_role() {
        let may = |patterns: &[&str]| {
            allows(
                &[grant(&["iam_role"], patterns, &["read"])],
                Action::ExplainSecret,
                Target::One("/a"),
            )
        };
        assert!(may(&[]) && may(&["*"]) && may(&["x", "**"]));
        assert!(!may(&["/a"]) && !may(&["/*"]) && !may(&["*a"]) && !may(&["a*", "b*"]));
        assert!(!allows(&[grant(&["secret"], &[], &["*"])], Action::ExplainSecret, Target::Some));
    }

    #[test]
    fn prefixes_cover_what_is_readable() {
        let read = |patterns: &[&str]| vec![grant(&["secret"], patterns, &["read"])];
        assert_eq!(readable_prefixes(&read(&[])), [""]);
        assert_eq!(readable_prefixes(&read(&["/b/*", "/a/*", "/a/x/*"])), ["/a/", "/b/"]);
        assert_eq!(readable_prefixes(&read(&["*/password", "/a"])), [""]);
        assert!(readable_prefixes(&[grant(&["kms_key"], &[], &["read"])]).is_empty());
    }

    fn any_grant() -> impl Strategy<Value = Grant> {
        let resources =
            prop::sample::subsequence(vec!["secret", "kms_key", "audit_log", "*"], 0..3);
        let patterns = prop::collection::vec("[/ab*]{0,5}", 0..3);
        let words = prop::sample::subsequence(
            vec!["read", "list", "create", "update", "getSecretValue", "decrypt", "*"],
            0..4,
        );
        (resources, patterns, words).prop_map(|(resources, patterns, words)| {
            let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
            grant(&resources, &patterns, &words)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn one_more_grant_never_takes_away(
            grants in prop::collection::vec(any_grant(), 0..4),
            more in any_grant(),
            at in 0..Action::ALL.len(),
            path in "/[ab/]{0,5}",
        ) {
            let Some(action) = Action::ALL.get(at).copied() else { return Ok(()) };
            let before = allows(&grants, action, Target::One(&path));
            let mut all = grants;
            all.push(more);
            prop_assert!(!before || allows(&all, action, Target::One(&path)));
        }

        #[test]
        fn what_is_readable_lies_below_a_prefix(
            grants in prop::collection::vec(any_grant(), 0..4),
            path in "/[ab/]{0,5}",
        ) {
            if allows(&grants, Action::ReadSecret, Target::One(&path)) {
                prop_assert!(readable_prefixes(&grants).iter().any(|prefix| path.starts_with(prefix)));
            }
        }

        #[test]
        fn held_on_one_is_held_on_some(
            grants in prop::collection::vec(any_grant(), 0..4),
            path in "/[ab/]{0,5}",
        ) {
            for action in Action::ALL {
                if allows(&grants, *action, Target::One(&path)) {
                    prop_assert!(allows(&grants, *action, Target::Some));
                }
            }
        }
    }
}
