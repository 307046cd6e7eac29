//! The decision beside its executable specification: what is compiled agrees with what is plainly written, over
//! millions of random grants, actions and targets.

use std::sync::Arc;

use coffer_api::{AccessPolicy as Conditionals, Condition};
use coffer_server::model::access_policy::AccessPolicy;
use coffer_server::model::action::{Action, Audience, Permission};
use coffer_server::model::caller::{Caller, Credential, Principal, Standing};
use coffer_server::model::decide::{Grant, HandOn, Target, allows};
use coffer_server::model::policy::PolicyGrant;
use coffer_server::model::roles::compile;
use coffer_server::model::scopes::Scopes;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

const HOUR: i64 = 3_600_000_000;
const WORLDS: usize = 3000;

/// A rule as people write it, and how it reaches the caller.
#[derive(Debug, Clone)]
struct Written {
    resources: Vec<&'static str>,
    identities: Vec<String>,
    permissions: Vec<&'static str>,
    scopes: Vec<&'static str>,
    by_policy: Option<Policy>,
}

/// A binding of an IAM policy of the call's project.
#[derive(Debug, Clone)]
struct Policy {
    expires_at: Option<i64>,
    /// Hours of the day, UTC, in which it counts.
    hours: Option<(i64, i64)>,
}

/// The specification. Plain loops over plain text; slow, and meant to be read.
fn naive(
    written: &[Written],
    credential: &[&str],
    action: Action,
    on: Option<&str>,
    now: i64,
) -> bool {
    let rule = action.rule();
    let scopes_allow = |scopes: &[&str]| {
        scopes.is_empty()
            || scopes.contains(&"api:write")
            || (scopes.contains(&"api:read") && !action.changes_state())
    };
    let gives_tokens = ["auth.token.issue", "auth.token.exchange"].contains(&rule.name);
    if !gives_tokens && !scopes_allow(credential) {
        return false;
    }
    let (resource, any_of) = match rule.audience {
        Audience::Authenticated | Audience::Members => return true,
        Audience::Administrators => return false,
        Audience::Holders(any_of) => (rule.resource.name(), any_of),
        Audience::RoleReaders => ("iam_role", &[Permission::Read][..]),
    };
    let of_every_role = rule.audience == Audience::RoleReaders;
    for grant in written {
        if let Some(policy) = &grant.by_policy {
            let in_projects = [
                "secret",
                "kms_key",
                "audit_log",
                "iam_policy",
                "iam_policy_binding",
                "access_elevation",
            ];
            if !in_projects.contains(&resource) {
                continue;
            }
            if policy.expires_at.is_some_and(|at| at <= now) {
                continue;
            }
            let hour = now / HOUR % 24;
            if policy.hours.is_some_and(|(start, end)| hour < start || hour >= end) {
                continue;
            }
        }
        let on_resource = grant.resources.iter().any(|name| *name == "*" || *name == resource);
        let may = grant
            .permissions
            .iter()
            .any(|word| *word == "*" || any_of.iter().any(|wanted| wanted.word() == *word));
        let on_identity = match on {
            _ if of_every_role => {
                grant.identities.is_empty()
                    || grant
                        .identities
                        .iter()
                        .any(|p| p.contains('*') && p.bytes().all(|byte| byte == b'*'))
            }
            None => true,
            Some(identity) => {
                grant.identities.is_empty()
                    || grant.identities.iter().any(|p| matches(p.as_bytes(), identity.as_bytes()))
            }
        };
        if on_resource && may && on_identity && scopes_allow(&grant.scopes) {
            return true;
        }
    }
    false
}

/// `*` is any run of bytes, everything else is itself.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|n| matches(rest, &text[n..])),
        Some((byte, rest)) => text.first() == Some(byte) && matches(rest, &text[1..]),
    }
}

#[expect(clippy::disallowed_methods, reason = "a caller that no store knows")]
fn compiled(written: &[Written], credential: &[&str]) -> (Caller, Vec<PolicyGrant>) {
    let scopes = |words: &[&str]| Scopes::stored(words.iter().map(|w| (*w).to_owned()).collect());
    let grant = |written: &Written| {
        let identities: Vec<_> = written.identities.iter().map(String::as_str).collect();
        Grant {
            scopes: scopes(&written.scopes),
            ..compile("r", &written.resources, &identities, &written.permissions)
        }
    };
    let (mut roles, mut policies) = (Vec::new(), Vec::new());
    for written in written {
        match &written.by_policy {
            None => roles.push(grant(written)),
            Some(policy) => policies.push(PolicyGrant {
                policy: "p".to_owned(),
                grant: Grant { hand_on: HandOn::InProject, ..grant(written) },
                expires_at: policy.expires_at,
                conditions: policy.hours.map(|(start, end)| {
                    let hours = Condition {
                        r#type: "time".to_owned(),
                        start_hour: Some(start),
                        end_hour: Some(end),
                        timezone: Some("UTC".to_owned()),
                        ..Condition::default()
                    };
                    let wire =
                        Conditionals { allowed: Some(vec![hours]), ..Conditionals::default() };
                    Arc::new(AccessPolicy::compile(&wire).unwrap())
                }),
            }),
        }
    }
    let credential = Credential {
        id: "pat-1".to_owned(),
        kind: "personal_access_token",
        scopes: scopes(credential),
        expires_at: None,
    };
    let principal = Principal::User { subject: "usr-1".to_owned() };
    (Caller::new(principal, credential, Standing::Unnamed, Vec::new(), roles), policies)
}

fn any_written() -> impl Strategy<Value = Written> {
    let resources =
        vec!["secret", "kms_key", "audit_log", "iam_role", "iam_policy", "project", "*"];
    let words = vec![
        "create",
        "read",
        "update",
        "delete",
        "list",
        "getSecretValue",
        "putSecretValue",
        "encrypt",
        "decrypt",
        "sign",
        "verify",
        "hmac",
        "verify-hmac",
        "rotate",
        "export",
        "*",
    ];
    let policy = (prop::option::of(0..48 * HOUR), prop::option::of((0..20i64, 1..5i64)));
    let policy = policy.prop_map(|(expires_at, hours)| Policy {
        expires_at,
        hours: hours.map(|(start, length)| (start, start + length)),
    });
    (
        prop::sample::subsequence(resources, 1..3),
        prop::collection::vec("[/ab*]{0,6}", 0..3),
        prop::sample::subsequence(words, 1..5),
        prop::sample::subsequence(vec!["api:read", "api:write", "kubernetes"], 0..2),
        prop::option::of(policy),
    )
        .prop_map(|(resources, identities, permissions, scopes, by_policy)| Written {
            resources,
            identities,
            permissions,
            scopes,
            by_policy,
        })
}

#[test]
fn the_decision_agrees_with_its_specification() {
    let mut runner = TestRunner::deterministic();
    let worlds = (
        prop::collection::vec(any_written(), 0..6),
        prop::sample::subsequence(vec!["api:read", "api:write", "kubernetes"], 0..3),
        prop::collection::vec("/[ab/]{0,6}", 4),
        prop::collection::vec(0..48 * HOUR, 2),
    );
    let (mut decisions, mut allowed) = (0_u64, 0_u64);
    for _ in 0..WORLDS {
        let (written, scopes, paths, times) = worlds.new_tree(&mut runner).unwrap().current();
        let (caller, policies) = compiled(&written, &scopes);
        for now in times {
            let held = caller.within(&policies, now, None);
            let targets = paths.iter().map(|path| Some(path.as_str())).chain([None]);
            for (on, action) in targets.flat_map(|on| Action::ALL.iter().map(move |a| (on, *a))) {
                let counted = match action.rule().counts_policies() {
                    true => &held,
                    false => &caller,
                };
                let target = on.map_or(Target::Some, Target::One);
                let decided = counted.credential.scopes.allow(action)
                    && allows(&counted.grants, action, target);
                let expected = naive(&written, &scopes, action, on, now);
                assert_eq!(
                    decided, expected,
                    "{action} on {on:?} at {now}: {scopes:?} {written:#?}"
                );
                decisions += 1;
                allowed += u64::from(decided);
            }
        }
    }
    assert!(decisions > 2_000_000, "{decisions}");
    assert!(allowed > decisions / 20 && allowed < decisions / 2, "{allowed} of {decisions}");
}
