//! Who may do what: every role × every action, every route × every outsider.

use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fmt::Write;

use crate::calls::{Call, UNATTENDED, all_calls, calls, platform_calls, target};
use crate::world::{Answer, Person, World};
use coffer_server::http::{ROUTES, openapi::describe};
use coffer_server::model::action::Action;
use coffer_server::model::identity::MemberRole;

/// Whether an answer says anything else than "you may not".
fn is_allowed(action: &str, answer: &Answer) -> bool {
    let refused = match action.starts_with("kms.") {
        true => answer.status == 404 && answer.message() == "key not found",
        // Who holds nothing at all learns of no project.
        false => answer.status == 403 || answer.message() == "project not found",
    };
    assert!(refused || answer.status < 300, "{action}: {} {}", answer.status, answer.text);
    !refused
}

#[test]
fn every_action_of_a_caller_is_called_here() {
    let called: BTreeSet<_> = calls().iter().map(|call| call.action).collect();
    let by_nobody = [
        "auth.failure",
        // Whoever has a credential or a subject token: see `token_endpoint.rs` and `federation.rs`.
        "auth.token.issue",
        "auth.token.exchange",
        "platform.root-key.rotate",
        "iam.invite.accept",
    ];
    let all = Action::ALL.iter().map(|action| action.rule().name);
    let administrators: Vec<_> = platform_calls().iter().map(|call| call.action).collect();
    let elsewhere = |name: &str| {
        [&by_nobody[..], &UNATTENDED, &administrators].iter().any(|names| names.contains(&name))
    };
    assert_eq!(called, all.filter(|name| !elsewhere(name)).collect());
}

#[tokio::test]
async fn every_role_by_every_action() {
    const COLUMNS: [(&str, &str); 16] = [
        ("own", "OWNER"),
        ("mem", "MEMBER"),
        ("adm", "org-admin"),
        ("aud", "org-auditor"),
        ("sFu", "secrets-full-access"),
        ("sRe", "secrets-read-access"),
        ("kFu", "kms-full-access"),
        ("kRe", "kms-read-access"),
        ("enc", "kms-encrypt"),
        ("dec", "kms-decrypt"),
        ("sig", "kms-sign"),
        ("ver", "kms-verify"),
        ("mac", "kms-hmac"),
        ("vmc", "kms-verify-hmac"),
        ("rot", "kms-rotate"),
        ("exp", "kms-export"),
    ];
    let world = World::new().await;
    let mut people = Vec::new();
    let mut table = format!("{:<28}", "action");
    for (short, role) in COLUMNS {
        write!(table, " {short}").unwrap();
        people.push(match role {
            "OWNER" => world.member(&world.acme.id, MemberRole::Owner).await,
            "MEMBER" => world.person().await,
            role => world.person_as(role).await,
        });
    }
    for call in calls() {
        write!(table, "\n{:<28}", call.action).unwrap();
        for person in &people {
            let target = target(&world, call.action, person).await;
            let answer = call.send(world.ask(call.method, person, &call.url(&target)), &target);
            let allowed = is_allowed(call.action, &answer.await);
            write!(table, "  {} ", if allowed { '✔' } else { '✘' }).unwrap();
        }
        table.truncate(table.trim_end().len());
    }
    insta::assert_snapshot!(table, @"
    action                       own mem adm aud sFu sRe kFu kRe enc dec sig ver mac vmc rot exp
    secrets.list                  ✔   ✘   ✔   ✔   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    secrets.create                ✔   ✘   ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    secrets.get                   ✔   ✘   ✔   ✔   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    secrets.update                ✔   ✘   ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    secrets.policy.update         ✔   ✘   ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    secrets.policy.clear          ✔   ✘   ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    secrets.putSecretValue        ✔   ✘   ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    secrets.getSecretValue        ✔   ✘   ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    secrets.version.destroy       ✔   ✘   ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    secrets.delete                ✔   ✘   ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    secrets.explain               ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    kms.summary                   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    kms.list                      ✔   ✘   ✔   ✔   ✘   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    kms.create                    ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    kms.get                       ✔   ✘   ✔   ✔   ✘   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    kms.encrypt                   ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    kms.decrypt                   ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘
    kms.generate-data-key         ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    kms.rewrap                    ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    kms.sign                      ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✘   ✘
    kms.verify                    ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✘
    kms.hmac                      ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✔   ✘   ✘   ✘
    kms.verify-hmac               ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✔   ✘   ✘
    kms.public-key                ✔   ✘   ✔   ✔   ✘   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    kms.export                    ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✔
    kms.wrapping-key              ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    kms.rotation                  ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    kms.rotate                    ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✔   ✘
    kms.disable                   ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    kms.enable                    ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    kms.delete                    ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    kms.cancel-deletion           ✔   ✘   ✔   ✘   ✘   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    audit.list                    ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    regions.list                  ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    regions.get                   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    iam.role.list                 ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.role.create               ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.role.get                  ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.role.delete               ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.rule.create               ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.rule.delete               ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.binding.list              ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.binding.create            ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.binding.delete            ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.team.list                 ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.team.create               ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.team.get                  ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.team.update               ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.team.delete               ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.team-member.create        ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.team-member.delete        ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.membership.list           ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.membership.update         ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.membership.delete         ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.invite.list               ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.invite.create             ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.invite.delete             ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    metering.secret-versions      ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    quotas.list                   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    quotas.get                    ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    quotas.increase.create        ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.service-account.list      ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.service-account.create    ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.service-account.get       ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.service-account.update    ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.service-account.delete    ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.access-credential.list    ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.access-credential.create  ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.access-credential.delete  ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.identity-provider.list    ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.identity-provider.create  ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.identity-provider.get     ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.identity-provider.update  ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.identity-provider.delete  ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.federated-identity.list   ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.federated-identity.create  ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.federated-identity.get    ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.federated-identity.update  ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.federated-identity.delete  ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    me.get                        ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    iam.token.list                ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    iam.token.create              ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    iam.token.delete              ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    me.memberships.list           ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    iam.project.list              ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    iam.project.create            ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.project.get               ✔   ✘   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    iam.project.update            ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.project.delete            ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.policy.list               ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.policy.create             ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.policy.resources          ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.policy.members            ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.policy.get                ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.policy.update             ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.policy.delete             ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.policy-rule.create        ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.policy-rule.delete        ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.policy-binding.list       ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.policy-binding.create     ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.policy-binding.get        ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.policy-binding.update     ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.policy-binding.delete     ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.access-binding.list       ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.own-elevation.list        ✔   ✘   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    iam.own-elevation.create      ✔   ✘   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    iam.own-elevation.get         ✔   ✘   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    iam.own-elevation.cancel      ✔   ✘   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔   ✔
    iam.elevation.list            ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.elevation.get             ✔   ✘   ✔   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.elevation.approve         ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.elevation.reject          ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    iam.elevation.revoke          ✔   ✘   ✔   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘   ✘
    ");
}

/// The three whom the product documents suggest: administrators with full access, reviewers who see metadata, and
/// applications that reveal what they need.
#[tokio::test]
async fn three_personas_by_every_action() {
    let world = World::new().await;
    let administrator = world.person_as("secrets-full-access").await;
    let admin_role = world.post(&world.owner, "/v1/iam/roles/kms-full-access/bindings");
    let admin_role = admin_role.json(serde_json::json!({"userIdentity": administrator.subject}));
    admin_role.expect(201).await;
    let reviewer = world.person_as("secrets-read-access").await;
    let application = world.person_with("secret", &["/app/*"], &["getSecretValue"]).await;
    let personas =
        [("administrator", administrator), ("reviewer", reviewer), ("application", application)];
    let mut table = String::from("may");
    for (name, person) in &personas {
        for call in calls() {
            let target = target(&world, call.action, person).await;
            let answer = call.send(world.ask(call.method, person, &call.url(&target)), &target);
            if is_allowed(call.action, &answer.await) {
                write!(table, "\n{name:<14} {}", call.action).unwrap();
            }
        }
    }
    insta::assert_snapshot!(table, @"
    may
    administrator  secrets.list
    administrator  secrets.create
    administrator  secrets.get
    administrator  secrets.update
    administrator  secrets.policy.update
    administrator  secrets.policy.clear
    administrator  secrets.putSecretValue
    administrator  secrets.getSecretValue
    administrator  secrets.version.destroy
    administrator  secrets.delete
    administrator  kms.summary
    administrator  kms.list
    administrator  kms.create
    administrator  kms.get
    administrator  kms.encrypt
    administrator  kms.decrypt
    administrator  kms.generate-data-key
    administrator  kms.rewrap
    administrator  kms.sign
    administrator  kms.verify
    administrator  kms.hmac
    administrator  kms.verify-hmac
    administrator  kms.public-key
    administrator  kms.export
    administrator  kms.wrapping-key
    administrator  kms.rotation
    administrator  kms.rotate
    administrator  kms.disable
    administrator  kms.enable
    administrator  kms.delete
    administrator  kms.cancel-deletion
    administrator  regions.list
    administrator  regions.get
    administrator  quotas.list
    administrator  quotas.get
    administrator  me.get
    administrator  iam.token.list
    administrator  iam.token.create
    administrator  iam.token.delete
    administrator  me.memberships.list
    administrator  iam.project.list
    administrator  iam.project.get
    administrator  iam.own-elevation.list
    administrator  iam.own-elevation.create
    administrator  iam.own-elevation.get
    administrator  iam.own-elevation.cancel
    reviewer       secrets.list
    reviewer       secrets.get
    reviewer       kms.summary
    reviewer       regions.list
    reviewer       regions.get
    reviewer       quotas.list
    reviewer       quotas.get
    reviewer       me.get
    reviewer       iam.token.list
    reviewer       iam.token.create
    reviewer       iam.token.delete
    reviewer       me.memberships.list
    reviewer       iam.project.list
    reviewer       iam.project.get
    reviewer       iam.own-elevation.list
    reviewer       iam.own-elevation.create
    reviewer       iam.own-elevation.get
    reviewer       iam.own-elevation.cancel
    application    secrets.getSecretValue
    application    kms.summary
    application    regions.list
    application    regions.get
    application    quotas.list
    application    quotas.get
    application    me.get
    application    iam.token.list
    application    iam.token.create
    application    iam.token.delete
    application    me.memberships.list
    application    iam.project.list
    application    iam.project.get
    application    iam.own-elevation.list
    application    iam.own-elevation.create
    application    iam.own-elevation.get
    application    iam.own-elevation.cancel
    ");
}

/// Routes that refuse fewer than all outsiders, and to whom they answer. This list may only shrink.
const EXCEPTIONS: [(&str, &str); 18] = [
    ("POST /v1/invites/accept", "whoever has the code"),
    ("GET /v1/quotas", "members"),
    ("GET /v1/quotas/{quota}", "members"),
    ("GET /healthz", "anybody"),
    ("GET /readyz", "anybody"),
    ("GET /openapi.json", "anybody"),
    ("GET /oidc/jwks", "anybody"),
    ("GET /.well-known/openid-configuration", "anybody"),
    ("POST /oidc/token", "nobody without a credential in its form or header"),
    ("GET /v1/regions", "any token"),
    ("GET /v1/regions/{region}", "any token"),
    ("GET /v1/me", "any token"),
    ("GET /v1/me/organisation-memberships", "any token"),
    ("GET /v1/me/personal-access-tokens", "any token"),
    ("POST /v1/me/personal-access-tokens", "any token"),
    ("DELETE /v1/me/personal-access-tokens/{token}", "any token"),
    ("GET /v1/kms/summary", "members"),
    ("GET /v1/projects", "members"),
];

#[test]
fn every_route_is_called_here() {
    let called: BTreeSet<_> = all_calls().iter().map(|call| call.route).collect();
    assert_eq!(called, ROUTES.iter().copied().collect());
}

/// How many records there are, and the newest one's action and outcome.
fn newest_record(world: &World) -> (i64, String, String) {
    let sql = "SELECT COUNT(*) OVER (), action, outcome FROM audit_events
        ORDER BY event_id DESC LIMIT 1";
    let [count, action, outcome]: [String; 3] = world.select(sql).remove(0).try_into().unwrap();
    (count.parse().unwrap(), action, outcome)
}

/// Whether the description of the API knows a status of a call.
fn is_documented(description: &Json, call: &Call, status: u16) -> bool {
    let path = call.url.split('?').next().unwrap();
    let path = path.replace("nl-01", "{region}").replace("PATH", "/{path}").replace("KEY", "{key}");
    let path = path.replace("INVITE", "{invite}").replace("REQUEST", "{request}");
    let path = path.replace("quotas/secrets.count", "quotas/{quota}");
    let path = path.replace("organisations/acme", "organisations/{organisation}");
    let path = path.replace("TOKEN", "{token}").replace("ROLE", "{role}");
    let path = path.replace("RULE", "{rule}").replace("BINDING", "{binding}");
    let path = path.replace("MEMBERSHIP", "{membership}").replace("TEAM", "{team}");
    let path = path.replace("SOMEBODY", "{member}").replace("ACCOUNT", "{account}");
    let path = path.replace("CREDENTIAL", "{credential}").replace("PROVIDER", "{provider}");
    let path = path.replace("FEDERATION", "{federation}");
    let method = call.method.to_lowercase();
    let operation = &description["paths"][path][method];
    operation["responses"].get(status.to_string()).is_some()
}

#[tokio::test]
async fn every_route_refuses_outsiders_and_records_it() {
    let world = World::new().await;
    let description = describe();
    let known: Vec<_> = EXCEPTIONS.iter().map(|(route, _)| *route).collect();
    let mut table = format!(
        "{:<61} {:>4} {:>7} {:>3} {:>6} {:>5}",
        "call", "anon", "foreign", "own", "member", "owner"
    );
    for call in all_calls() {
        let mut statuses = Vec::new();
        for who in ["anonymous", "foreign", "own", "member", "owner"] {
            let by = match who {
                "foreign" | "own" => &world.stranger,
                "member" => &world.nobody,
                _ => &world.owner,
            };
            let target = target(&world, call.action, by).await;
            let url = call.url(&target);
            let named = |by: &Person| world.ask(call.method, by, &url);
            let asking = match who {
                "anonymous" => world
                    .anonymous(call.method, &url)
                    .header("x-organisation-identity", &world.acme.id),
                "foreign" => {
                    named(&world.stranger).header("x-organisation-identity", &world.acme.id)
                }
                "own" => named(&world.stranger),
                "owner" => named(&world.owner),
                _ => named(&world.nobody),
            };
            let before = newest_record(&world).0;
            let answer = call.send(asking, &target).await;
            let (after, action, outcome) = newest_record(&world);
            let about = format!("{} {} by {who}", call.method, call.url);
            assert!(
                is_documented(&description, &call, answer.status),
                "{about}: {}",
                answer.status
            );
            assert!(
                who == "owner" || !answer.text.contains(&target.key),
                "{about} tells: {}",
                answer.text
            );
            if answer.status >= 400 {
                assert_eq!(after, before + 1, "{about}: one record");
                let unknown = who == "anonymous" || call.action.starts_with("platform.");
                let expected = if unknown { "auth.failure" } else { call.action };
                assert_eq!(action, expected, "{about}");
                assert!(!["ok", "created", "done"].contains(&&*outcome), "{about}: {outcome}");
            }
            statuses.push(answer.status);
        }
        let name = format!("{} {}", call.route.0, call.route.1);
        if call.action.starts_with("platform.") {
            assert_eq!(statuses, [401; 5], "{name}");
        } else if !known.contains(&&*name) {
            assert_eq!(statuses[..2], [401, 403], "{name}");
            assert!([403, 404].contains(&statuses[3]), "{name}");
        }
        let [anon, foreign, own, member, owner] = statuses[..] else { unreachable!() };
        let name = format!("{:<6} {}", call.method, call.url);
        write!(table, "\n{name:<61} {anon:>4} {foreign:>7} {own:>3} {member:>6} {owner:>5}")
            .unwrap();
    }
    insta::assert_snapshot!(table, @"
    call                                                          anon foreign own member owner
    GET    /healthz                                                200     200 200    200   200
    GET    /readyz                                                 200     200 200    200   200
    GET    /openapi.json                                           200     200 200    200   200
    GET    /oidc/jwks                                              200     200 200    200   200
    GET    /.well-known/openid-configuration                       200     200 200    200   200
    POST   /oidc/token                                             400     400 400    400   400
    GET    /v1/secrets/nl-01/secrets                               401     403 200    403   200
    POST   /v1/secrets/nl-01/secrets                               401     403 404    403   201
    GET    /v1/secrets/nl-01/secretPATH                            401     403 404    403   200
    PATCH  /v1/secrets/nl-01/secretPATH                            401     403 404    403   200
    PUT    /v1/secrets/nl-01/secretPATH/policy                     401     403 404    403   200
    PUT    /v1/secrets/nl-01/secretPATH/policy                     401     403 404    403   200
    POST   /v1/secrets/nl-01/secretPATH/versions                   401     403 404    403   200
    POST   /v1/secrets/nl-01/secretPATH/value                      401     403 404    403   200
    DELETE /v1/secrets/nl-01/secretPATH/versions?version=1         401     403 404    403   204
    DELETE /v1/secrets/nl-01/secretPATH                            401     403 404    403   204
    GET    /v1/secrets/nl-01/explain?permission=read&path=PATH     401     403 200    403   200
    GET    /v1/kms/summary                                         401     403 200    200   200
    GET    /v1/kms/nl-01/keys                                      401     403 200    404   200
    POST   /v1/kms/nl-01/keys                                      401     403 201    404   201
    GET    /v1/kms/nl-01/keys/KEY                                  401     403 404    404   200
    POST   /v1/kms/nl-01/keys/KEY/encrypt                          401     403 404    404   200
    POST   /v1/kms/nl-01/keys/KEY/decrypt                          401     403 404    404   200
    POST   /v1/kms/nl-01/keys/KEY/generate-data-key                401     403 404    404   200
    POST   /v1/kms/nl-01/keys/KEY/rewrap                           401     403 404    404   200
    POST   /v1/kms/nl-01/keys/KEY/sign                             401     403 404    404   200
    POST   /v1/kms/nl-01/keys/KEY/verify                           401     403 404    404   200
    POST   /v1/kms/nl-01/keys/KEY/hmac                             401     403 404    404   200
    POST   /v1/kms/nl-01/keys/KEY/verify-hmac                      401     403 404    404   200
    GET    /v1/kms/nl-01/keys/KEY/public-key                       401     403 404    404   200
    POST   /v1/kms/nl-01/keys/KEY/export                           401     403 404    404   200
    GET    /v1/kms/nl-01/wrapping-key                              401     403 200    404   200
    PATCH  /v1/kms/nl-01/keys/KEY/rotation                         401     403 404    404   200
    POST   /v1/kms/nl-01/keys/KEY/rotate                           401     403 404    404   200
    POST   /v1/kms/nl-01/keys/KEY/disable                          401     403 404    404   200
    POST   /v1/kms/nl-01/keys/KEY/enable                           401     403 404    404   200
    DELETE /v1/kms/nl-01/keys/KEY                                  401     403 404    404   200
    DELETE /v1/kms/nl-01/keys/KEY/cancel-deletion                  401     403 404    404   200
    GET    /v1/audit                                               401     403 200    403   200
    GET    /v1/regions                                             401     200 200    200   200
    GET    /v1/regions/nl-01                                       401     200 200    200   200
    GET    /v1/iam/roles                                           401     403 200    403   200
    POST   /v1/iam/roles                                           401     403 201    403   201
    GET    /v1/iam/roles/ROLE                                      401     403 404    403   200
    DELETE /v1/iam/roles/ROLE                                      401     403 404    403   204
    POST   /v1/iam/roles/ROLE/rules                                401     403 404    403   201
    DELETE /v1/iam/roles/ROLE/rules/RULE                           401     403 404    403   204
    GET    /v1/iam/roles/ROLE/bindings                             401     403 404    403   200
    POST   /v1/iam/roles/ROLE/bindings                             401     403 404    403   201
    DELETE /v1/iam/roles/ROLE/bindings/BINDING                     401     403 404    403   204
    GET    /v1/teams                                               401     403 200    403   200
    POST   /v1/teams                                               401     403 201    403   201
    GET    /v1/teams/TEAM                                          401     403 404    403   200
    PUT    /v1/teams/TEAM                                          401     403 404    403   200
    DELETE /v1/teams/TEAM                                          401     403 404    403   204
    POST   /v1/teams/TEAM/members                                  401     403 404    403   201
    DELETE /v1/teams/TEAM/members/SOMEBODY                         401     403 404    403   204
    GET    /v1/memberships                                         401     403 200    403   200
    PUT    /v1/memberships/MEMBERSHIP                              401     403 404    403   200
    DELETE /v1/memberships/MEMBERSHIP                              401     403 404    403   204
    GET    /v1/invites                                             401     403 200    403   200
    POST   /v1/invites                                             401     403 201    403   201
    DELETE /v1/invites/INVITE                                      401     403 404    403   204
    GET    /v1/metering/secret-versions                            401     403 200    403   200
    GET    /v1/quotas                                              401     403 200    200   200
    GET    /v1/quotas/secrets.count                                401     403 200    200   200
    POST   /v1/quotas/increase-requests                            401     403 201    403   201
    GET    /v1/service-accounts                                    401     403 200    403   200
    POST   /v1/service-accounts                                    401     403 201    403   201
    GET    /v1/service-accounts/ACCOUNT                            401     403 404    403   200
    PUT    /v1/service-accounts/ACCOUNT                            401     403 404    403   200
    DELETE /v1/service-accounts/ACCOUNT                            401     403 404    403   204
    GET    /v1/service-accounts/ACCOUNT/access-credentials         401     403 404    403   200
    POST   /v1/service-accounts/ACCOUNT/access-credentials         401     403 404    403   201
    DELETE /v1/service-accounts/ACCOUNT/access-credentials/CREDENTIAL  401     403 404    403   204
    GET    /v1/federated-identity-providers                        401     403 200    403   200
    POST   /v1/federated-identity-providers                        401     403 201    403   201
    GET    /v1/federated-identity-providers/PROVIDER               401     403 404    403   200
    PUT    /v1/federated-identity-providers/PROVIDER               401     403 404    403   200
    DELETE /v1/federated-identity-providers/PROVIDER               401     403 404    403   204
    GET    /v1/federated-identities                                401     403 200    403   200
    POST   /v1/federated-identities                                401     403 404    403   201
    GET    /v1/federated-identities/FEDERATION                     401     403 404    403   200
    PUT    /v1/federated-identities/FEDERATION                     401     403 404    403   200
    DELETE /v1/federated-identities/FEDERATION                     401     403 404    403   204
    GET    /v1/me                                                  401     200 200    200   200
    GET    /v1/me/personal-access-tokens                           401     200 200    200   200
    POST   /v1/me/personal-access-tokens                           401     201 201    201   201
    DELETE /v1/me/personal-access-tokens/TOKEN                     401     204 204    204   204
    GET    /v1/me/organisation-memberships                         401     200 200    200   200
    GET    /v1/projects                                            401     403 200    200   200
    POST   /v1/projects                                            401     403 201    403   201
    GET    /v1/projects/{project}                                  401     403 404    404   200
    PUT    /v1/projects/{project}                                  401     403 404    404   200
    DELETE /v1/projects/{project}                                  401     403 404    404   204
    GET    /v1/projects/iam/policies                               401     403 404    404   200
    POST   /v1/projects/iam/policies                               401     403 404    404   201
    GET    /v1/projects/iam/policies/resources                     401     403 404    404   200
    GET    /v1/projects/iam/policies/members                       401     403 404    404   200
    GET    /v1/projects/iam/policies/{policy}                      401     403 404    404   200
    PUT    /v1/projects/iam/policies/{policy}                      401     403 404    404   200
    DELETE /v1/projects/iam/policies/{policy}                      401     403 404    404   204
    POST   /v1/projects/iam/policies/{policy}/rules                401     403 404    404   201
    DELETE /v1/projects/iam/policies/{policy}/rules/{rule}         401     403 404    404   204
    GET    /v1/projects/iam/policies/{policy}/bindings             401     403 404    404   200
    POST   /v1/projects/iam/policies/{policy}/bindings             401     403 404    404   201
    GET    /v1/projects/iam/policies/{policy}/bindings/{binding}   401     403 404    404   200
    PUT    /v1/projects/iam/policies/{policy}/bindings/{binding}   401     403 404    404   200
    DELETE /v1/projects/iam/policies/{policy}/bindings/{binding}   401     403 404    404   204
    GET    /v1/projects/iam/access-bindings?resourceType=secret&resourceIdentity=/x  401     403 404    404   200
    GET    /v1/projects/iam/my-access-elevations                   401     403 404    404   200
    POST   /v1/projects/iam/my-access-elevations                   401     403 404    404   201
    GET    /v1/projects/iam/my-access-elevations/{elevation}       401     403 404    404   200
    POST   /v1/projects/iam/my-access-elevations/{elevation}/cancel  401     403 404    404   200
    GET    /v1/projects/iam/access-elevations                      401     403 404    404   200
    GET    /v1/projects/iam/access-elevations/{elevation}          401     403 404    404   200
    POST   /v1/projects/iam/access-elevations/{elevation}/approve  401     403 404    404   200
    POST   /v1/projects/iam/access-elevations/{elevation}/reject   401     403 404    404   200
    POST   /v1/projects/iam/access-elevations/{elevation}/revoke   401     403 404    404   200
    GET    /v1/secrets/nl-01/secret?path=PATH                      401     403 404    403   200
    PATCH  /v1/secrets/nl-01/secret?path=PATH                      401     403 404    403   200
    PUT    /v1/secrets/nl-01/secret/policy?path=PATH               401     403 404    403   200
    PUT    /v1/secrets/nl-01/secret/policy?path=PATH               401     403 404    403   200
    POST   /v1/secrets/nl-01/secret/versions?path=PATH             401     403 404    403   200
    POST   /v1/secrets/nl-01/secret/value?path=PATH                401     403 404    403   200
    DELETE /v1/secrets/nl-01/secret/versions?version=1&path=PATH   401     403 404    403   204
    DELETE /v1/secrets/nl-01/secret?path=PATH                      401     403 404    403   204
    GET    /v1/platform/organisations                              401     401 401    401   401
    POST   /v1/platform/organisations                              401     401 401    401   401
    GET    /v1/platform/organisations/acme                         401     401 401    401   401
    PATCH  /v1/platform/organisations/acme                         401     401 401    401   401
    GET    /v1/platform/regions                                    401     401 401    401   401
    PATCH  /v1/platform/regions/nl-01                              401     401 401    401   401
    GET    /v1/platform/quota-increase-requests                    401     401 401    401   401
    POST   /v1/platform/quota-increase-requests/REQUEST/approve    401     401 401    401   401
    POST   /v1/platform/quota-increase-requests/REQUEST/deny       401     401 401    401   401
    GET    /v1/platform/audit                                      401     401 401    401   401
    POST   /v1/invites/accept                                      201     201 409    409   409
    ");
}
