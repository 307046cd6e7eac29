//! What each rule of an access policy lets pass (contract, 2.7, 14.9, 14.10, 14.18).

use coffer_server::model::team::TeamRole;
use serde_json::json;

use crate::policies::{X, ip, set, time, try_both, world_with_x};
use crate::world::{NOON, World};

const HOUR: i64 = 3_600_000_000;

#[tokio::test]
async fn address_conditions_let_pass_and_refuse() {
    let world = world_with_x().await;
    let grouped = |allowed: &[&str], denied: &[&str]| {
        let group = |nets: &[&str]| json!([{"type": "ip", "ips": nets}]);
        json!({"allowed": group(allowed), "denied": group(denied)})
    };
    for (policy, from, passes) in [
        (ip("allow", &["10.0.0.0/8"]), "10.255.255.255", true),
        (ip("allow", &["10.0.0.0/8"]), "11.0.0.0", false),
        (ip("allow", &["10.0.0.0/8"]), "::ffff:10.1.2.3", true),
        (ip("allow", &["10.0.0.0/8"]), "2001:db8::1", false),
        (ip("allow", &["192.0.2.7"]), "192.0.2.7", true),
        (ip("allow", &["192.0.2.7"]), "192.0.2.8", false),
        (ip("allow", &["::ffff:192.0.2.7"]), "192.0.2.7", true),
        (ip("allow", &["2001:db8::/32"]), "2001:db8:ffff::1", true),
        (ip("allow", &["2001:db8::/32"]), "2001:db9::1", false),
        (ip("deny", &["203.0.113.50"]), "203.0.113.50", false),
        (ip("deny", &["203.0.113.50"]), "203.0.113.51", true),
        (ip("deny", &["203.0.113.0/24"]), "::ffff:203.0.113.9", false),
        (grouped(&["10.0.0.0/8"], &["10.9.0.0/16"]), "10.1.0.1", true),
        (grouped(&["10.0.0.0/8"], &["10.9.0.0/16"]), "10.9.0.1", false),
        (grouped(&["10.0.0.0/8"], &["10.9.0.0/16"]), "192.0.2.1", false),
        (json!({"conditions": []}), "192.0.2.1", true),
    ] {
        set(&world, policy.clone()).await;
        let expected = if passes { [200, 200] } else { [403, 403] };
        assert_eq!(try_both(&world, &world.owner, from).await, expected, "{policy} {from}");
    }
}

#[tokio::test]
async fn one_allow_condition_of_any_kind_is_enough_and_a_deny_wins() {
    let world = world_with_x().await;
    let both = json!({"conditions": [
        {"type": "ip", "effect": "allow", "cidrs": ["10.0.0.0/8"]},
        {"type": "time", "effect": "allow", "startHour": 8, "endHour": 10, "timezone": "UTC"},
        {"type": "ip", "effect": "deny", "cidrs": ["10.9.9.9"]}
    ]});
    set(&world, both).await;
    for (hour, from, expected) in [
        (9, "10.0.0.1", 200),
        (9, "192.0.2.1", 200),
        (12, "10.0.0.1", 200),
        (12, "192.0.2.1", 403),
        (9, "10.9.9.9", 403),
    ] {
        world.set_now(NOON + (hour - 12) * HOUR);
        assert_eq!(try_both(&world, &world.owner, from).await, [expected; 2], "{hour} {from}");
    }
}

#[tokio::test]
async fn hours_are_half_open_in_their_zone_and_may_pass_midnight() {
    let world = world_with_x().await;
    let july = 181 * 24;
    for (policy, cases) in [
        // Amsterdam is an hour ahead in winter, two in summer.
        (
            time("allow", 8, 18, "Europe/Amsterdam"),
            vec![
                (6, 403),
                (7, 200),
                (16, 200),
                (17, 403),
                (july + 5, 403),
                (july + 6, 200),
                (july + 16, 403),
            ],
        ),
        (time("allow", 22, 6, "UTC"), vec![(21, 403), (22, 200), (24, 200), (5, 200), (6, 403)]),
        (time("deny", 22, 6, "UTC"), vec![(21, 200), (22, 403), (24, 403), (5, 403), (6, 200)]),
        (time("allow", 0, 24, "UTC"), vec![(0, 200), (12, 200), (23, 200)]),
        (time("allow", 18, 24, "UTC"), vec![(17, 403), (18, 200), (23, 200), (24, 403)]),
        (time("allow", 23, 0, "UTC"), vec![(22, 403), (23, 200), (24, 403)]),
    ] {
        set(&world, policy.clone()).await;
        for (hour, expected) in cases {
            world.set_now(NOON + (hour - 12) * HOUR);
            let tried = try_both(&world, &world.owner, "127.0.0.1").await;
            assert_eq!(tried, [expected; 2], "{policy} at {hour}");
        }
    }
    set(&world, time("allow", 12, 13, "UTC")).await;
    for (now, expected) in
        [(NOON - 1, 403), (NOON, 200), (NOON + HOUR - 1, 200), (NOON + HOUR, 403)]
    {
        world.set_now(now);
        assert_eq!(try_both(&world, &world.owner, "127.0.0.1").await, [expected; 2], "{now}");
    }
}

#[tokio::test]
async fn forwarding_headers_count_only_from_a_trusted_proxy() {
    let proxies = ["10.0.0.0/8".parse().unwrap()];
    let world = World::with(|config| config.trusted_proxies = proxies.into()).await;
    world.secret("/x", "v").await;
    let (xff, real) = ("x-forwarded-for", "x-real-ip");
    for (peer, headers, passes) in [
        ("192.0.2.1", vec![], false),
        ("192.0.2.1", vec![(xff, "1.2.3.4")], false),
        ("192.0.2.1", vec![(real, "1.2.3.4")], false),
        ("1.2.3.4", vec![(xff, "6.6.6.6")], true),
        ("10.0.0.1", vec![(xff, "1.2.3.4")], true),
        ("::ffff:10.0.0.1", vec![(xff, "::ffff:1.2.3.4")], true),
        ("10.0.0.1", vec![(xff, "1.2.3.4, 6.6.6.6")], false),
        ("10.0.0.1", vec![(xff, "6.6.6.6, 1.2.3.4, 10.0.0.2")], true),
        ("10.0.0.1", vec![(xff, "1.2.3.4"), (xff, "6.6.6.6")], false),
        ("10.0.0.1", vec![(xff, "6.6.6.6"), (xff, "1.2.3.4")], true),
        ("10.0.0.1", vec![(real, "1.2.3.4")], true),
        ("10.0.0.1", vec![(real, "1.2.3.4"), (xff, "6.6.6.6")], false),
        ("10.0.0.1", vec![], false),
    ] {
        for (effect, expected) in [("allow", passes), ("deny", !passes)] {
            set(&world, ip(effect, &["1.2.3.4"])).await;
            let mut asking = world.post(&world.owner, &format!("{X}/value")).from(peer);
            for (name, value) in &headers {
                asking = asking.add_header(name, value);
            }
            let status = asking.send().await.status;
            assert_eq!(status == 200, expected, "{effect} {peer} {headers:?}");
        }
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_read_matches_no_allow_and_every_deny() {
    let proxies = ["10.0.0.0/8".parse().unwrap()];
    let world = World::with(|config| config.trusted_proxies = proxies.into()).await;
    world.secret("/x", "v").await;
    for (name, value) in [
        ("x-forwarded-for", "junk"),
        ("x-forwarded-for", "1.2.3.4, junk"),
        ("x-forwarded-for", ""),
        ("x-real-ip", "junk"),
    ] {
        for (policy, expected) in [
            (ip("allow", &["0.0.0.0/0", "::/0"]), 403),
            (ip("deny", &["203.0.113.50"]), 403),
            (time("allow", 0, 24, "UTC"), 200),
        ] {
            set(&world, policy.clone()).await;
            let reveal = world.post(&world.owner, &format!("{X}/value")).from("10.0.0.1");
            let status = reveal.header(name, value).send().await.status;
            assert_eq!(status, expected, "{name}: {value} {policy}");
        }
    }
}

#[tokio::test]
async fn without_trusted_proxies_no_header_moves_the_address() {
    let world = world_with_x().await;
    set(&world, ip("allow", &["1.2.3.4"])).await;
    for name in ["x-forwarded-for", "x-real-ip", "forwarded", "true-client-ip"] {
        let reveal = world.post(&world.owner, &format!("{X}/value")).header(name, "1.2.3.4");
        reveal.expect(403).await;
    }
    let reveal = world.post(&world.owner, &format!("{X}/value")).from("1.2.3.4");
    reveal.header("x-forwarded-for", "6.6.6.6").expect(200).await;
}

#[tokio::test]
async fn statements_name_actions_and_principals() {
    let world = world_with_x().await;
    let [ann, bob] = [
        world.person_as("secrets-full-access").await,
        world.person_as("secrets-full-access").await,
    ];
    let (team, member, now) = ("team-1", ann.subject.clone(), NOON);
    world
        .write(&world.acme.id, async move |tx| {
            tx.insert_team(&crate::world::team(team, "platform", now)).await?;
            tx.insert_team_member(team, &member, TeamRole::default(), now).await
        })
        .await;
    let of_ann = format!("user:{}", ann.subject);
    let say = |effect: &str, actions: &[&str], principals: &[&str]| match principals {
        [] => json!({"effect": effect, "actions": actions}),
        named => json!({"effect": effect, "actions": actions, "principals": named}),
    };
    let (none, reveal, put, both) = ([403, 403], [200, 403], [403, 200], [200, 200]);
    for (statements, for_ann, for_bob) in [
        (vec![say("Allow", &["read"], &["team:platform"])], both, put),
        (vec![say("allow", &["getSecretValue"], &["team:team-1"])], both, put),
        (vec![say("ALLOW", &["secrets:get-value"], &[&of_ann])], both, put),
        (vec![say("allow", &["secrets:getSecretValue"], &["*"])], both, both),
        (vec![say("allow", &["write"], &[&of_ann])], both, reveal),
        (vec![say("allow", &["putSecretValue"], &[&of_ann])], both, reveal),
        (vec![say("allow", &["secrets:put-value"], &[&of_ann])], both, reveal),
        (vec![say("allow", &["secrets:putSecretValue"], &[&of_ann])], both, reveal),
        (vec![say("allow", &["*"], &[&of_ann])], both, none),
        (vec![say("allow", &["*"], &["serviceAccount:ci"])], none, none),
        (vec![say("deny", &["*"], &["serviceAccount:ci"])], both, both),
        (vec![say("Deny", &["read"], &[&of_ann])], put, both),
        (vec![say("deny", &["write"], &["team:platform"])], reveal, both),
        (vec![say("deny", &["*"], &[])], none, none),
        (vec![say("deny", &["*"], &["*"])], none, none),
        (vec![say("deny", &["*"], &["team:other"])], both, both),
        (vec![say("allow", &["*"], &["*"]), say("deny", &["read"], &[&of_ann])], put, both),
        (vec![say("deny", &["read"], &[&of_ann]), say("allow", &["*"], &[&of_ann])], put, none),
        (vec![say("allow", &["read"], &["user:nobody", &of_ann])], both, put),
        (
            vec![say("allow", &["read"], &["user:nobody"]), say("allow", &["read"], &[&of_ann])],
            both,
            put,
        ),
    ] {
        set(&world, json!({"statements": statements})).await;
        let tried = try_both(&world, &ann, "127.0.0.1").await;
        assert_eq!(tried, for_ann, "{statements:?}");
        let tried = try_both(&world, &bob, "127.0.0.1").await;
        assert_eq!(tried, for_bob, "{statements:?}");
    }
}

#[tokio::test]
async fn statements_and_conditions_must_both_pass_and_neither_grants() {
    let world = world_with_x().await;
    let policy = json!({
        "conditions": [{"type": "ip", "effect": "allow", "cidrs": ["10.0.0.0/8"]}],
        "statements": [{"effect": "allow", "actions": ["read"], "principals": [
            format!("user:{}", world.owner.subject), format!("user:{}", world.nobody.subject)
        ]}]
    });
    set(&world, policy).await;
    let other = world.person_as("secrets-full-access").await;
    for (by, from, expected) in [
        (&world.owner, "10.0.0.1", [200, 200]),
        (&world.owner, "192.0.2.1", [403, 403]),
        (&other, "10.0.0.1", [403, 200]),
        (&world.nobody, "10.0.0.1", [403, 403]),
    ] {
        assert_eq!(try_both(&world, by, from).await, expected, "{from}");
    }
}

/// A policy means whom its names meant when it was set; a slug that comes to mean somebody else lets nobody in.
#[tokio::test]
async fn a_slug_that_is_free_again_lets_nobody_in() {
    let world = world_with_x().await;
    let person = world.person_as("secrets-full-access").await;
    let join = json!({"userIdentity": person.subject});
    let team = json!({"name": "platform"});
    let say = |effect: &str| {
        json!({"statements": [
            {"effect": effect, "actions": ["*"], "principals": ["team:platform"]}
        ]})
    };
    let make = async || {
        world.post(&world.owner, "/v1/teams").json(team.clone()).expect(201).await;
        let members = world.post(&world.owner, "/v1/teams/platform/members");
        members.json(join.clone()).expect(201).await;
    };
    make().await;
    set(&world, say("allow")).await;
    assert_eq!(try_both(&world, &person, "10.0.0.1").await, [200, 200]);
    world.delete(&world.owner, "/v1/teams/platform").expect(204).await;
    make().await;
    assert_eq!(try_both(&world, &person, "10.0.0.1").await, [403, 403]);
    set(&world, say("allow")).await;
    assert_eq!(
        try_both(&world, &person, "10.0.0.1").await,
        [200, 200],
        "set anew it means the new"
    );
    // What is denied by its name stays out under whichever identity.
    set(&world, say("deny")).await;
    world.delete(&world.owner, "/v1/teams/platform").expect(204).await;
    make().await;
    assert_eq!(try_both(&world, &person, "10.0.0.1").await, [403, 403]);
    // Nor does a name let in that meant nobody when it was set.
    world.delete(&world.owner, "/v1/teams/platform").expect(204).await;
    set(&world, say("allow")).await;
    make().await;
    assert_eq!(try_both(&world, &person, "10.0.0.1").await, [403, 403]);
}
