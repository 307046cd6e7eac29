//! Access policies: address, hour and principal rules on top of IAM, for reveal and put (contract, 2.7).

mod compile;

use std::net::IpAddr;

use coffer_api::Map;
use ipnet::IpNet;
use jiff::{Timestamp, tz::TimeZone};

use super::action::Action;
use super::caller::{Principal, Team};
use crate::error::{Error, Result};

pub use compile::{canonical_net, parse_net};

/// A policy, checked and ready to be asked.
#[derive(Debug, Default)]
pub struct AccessPolicy {
    allowed: Vec<Condition>,
    denied: Vec<Condition>,
    statements: Vec<Statement>,
}

#[derive(Debug)]
enum Condition {
    Ip(Vec<IpNet>),
    Time { start_hour: i8, end_hour: i8, zone: TimeZone },
}

#[derive(Debug)]
struct Statement {
    deny: bool,
    reveals: bool,
    puts: bool,
    principals: Vec<PolicyPrincipal>,
}

#[derive(Debug)]
enum PolicyPrincipal {
    Everyone,
    User(String),
    Team(Reference),
    ServiceAccount(Reference),
}

/// A team or a service account as a policy names it: by identity or slug.
#[derive(Debug)]
struct Reference {
    name: String,
    /// Whom the name meant when the policy was set. `None` before that is known; empty for nobody.
    meant: Option<String>,
}

impl Reference {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), meant: None }
    }

    /// SECURITY: a slug that has come to mean somebody else lets nobody in, and still keeps them out.
    fn names(&self, id: &str, slug: &str, deny: bool) -> bool {
        let by_slug = self.name == slug && (deny || self.meant.is_none());
        self.name == id || self.meant.as_deref() == Some(id) || by_slug
    }
}

/// What a policy looks at.
pub struct Circumstances<'a> {
    pub principal: &'a Principal,
    pub teams: &'a [Team],
    /// `None` when the address cannot be known.
    pub client: Option<IpAddr>,
    /// Microseconds since 1970.
    pub now: i64,
}

impl AccessPolicy {
    /// The names of teams, and of service accounts, that its statements hold.
    pub fn names(&self) -> [Vec<&str>; 2] {
        let mut names = [Vec::new(), Vec::new()];
        for principal in self.statements.iter().flat_map(|statement| &statement.principals) {
            match principal {
                PolicyPrincipal::Team(team) => names[0].push(team.name.as_str()),
                PolicyPrincipal::ServiceAccount(account) => names[1].push(account.name.as_str()),
                PolicyPrincipal::Everyone | PolicyPrincipal::User(_) => {}
            }
        }
        names
    }

    /// Holds names to whom they meant when the policy was set: `team:` or `serviceAccount:` and name → identity.
    pub fn hold_to(&mut self, meant: &Map) {
        for principal in self.statements.iter_mut().flat_map(|statement| &mut statement.principals)
        {
            let (kind, one) = match principal {
                PolicyPrincipal::Team(team) => ("team", team),
                PolicyPrincipal::ServiceAccount(account) => ("serviceAccount", account),
                PolicyPrincipal::Everyone | PolicyPrincipal::User(_) => continue,
            };
            let known = meant.get(&format!("{kind}:{}", one.name));
            one.meant = Some(known.cloned().unwrap_or_default());
        }
    }

    /// Whether the policy lets `action` pass: conditions and statements must both. Deny wins in each.
    pub fn check(&self, action: Action, circumstances: &Circumstances<'_>) -> Result<()> {
        self.check_conditions(circumstances)?;
        self.check_statements(action, circumstances)
    }

    /// Whether the conditions let pass, whatever the statements say.
    pub fn conditions_hold(&self, circumstances: &Circumstances<'_>) -> bool {
        self.check_conditions(circumstances).is_ok()
    }

    fn check_conditions(&self, circumstances: &Circumstances<'_>) -> Result<()> {
        if self.denied.iter().any(|c| c.matches(circumstances, Unknown::Matches)) {
            return Err(refuse("a deny condition matches"));
        }
        let allowed = self.allowed.is_empty()
            || self.allowed.iter().any(|c| c.matches(circumstances, Unknown::DoesNot));
        if allowed { Ok(()) } else { Err(refuse("no allow condition matches")) }
    }

    fn check_statements(&self, action: Action, circumstances: &Circumstances<'_>) -> Result<()> {
        let about = |s: &&Statement| match action {
            Action::GetSecretValue => s.reveals,
            Action::PutSecretValue => s.puts,
            _ => false,
        };
        let mut allows = self.statements.iter().filter(about).filter(|s| !s.deny).peekable();
        let mut denies = self.statements.iter().filter(about).filter(|s| s.deny);
        if denies.any(|s| s.names(circumstances)) {
            return Err(refuse("a deny statement matches"));
        }
        let allowed = allows.peek().is_none() || allows.any(|s| s.names(circumstances));
        if allowed { Ok(()) } else { Err(refuse("no allow statement matches")) }
    }
}

/// What an unknown client address does to an address condition (contract, section 14, 9).
#[derive(Clone, Copy, PartialEq)]
enum Unknown {
    Matches,
    DoesNot,
}

impl Condition {
    fn matches(&self, circumstances: &Circumstances<'_>, unknown: Unknown) -> bool {
        match self {
            Self::Ip(nets) => match circumstances.client {
                Some(client) => nets.iter().any(|net| net.contains(&client.to_canonical())),
                None => unknown == Unknown::Matches,
            },
            Self::Time { start_hour, end_hour, zone } => {
                let now = Timestamp::from_microsecond(circumstances.now).unwrap_or_default();
                let hour = now.to_zoned(zone.clone()).hour();
                match start_hour < end_hour {
                    true => (*start_hour..*end_hour).contains(&hour),
                    false => hour >= *start_hour || hour < *end_hour,
                }
            }
        }
    }
}

impl Statement {
    fn names(&self, circumstances: &Circumstances<'_>) -> bool {
        let deny = self.deny;
        self.principals.iter().any(|principal| match (principal, circumstances.principal) {
            (PolicyPrincipal::Everyone, _) => true,
            (PolicyPrincipal::User(wanted), Principal::User { subject }) => wanted == subject,
            (PolicyPrincipal::ServiceAccount(wanted), Principal::ServiceAccount { id, slug }) => {
                wanted.names(id, slug, deny)
            }
            (PolicyPrincipal::Team(wanted), _) => {
                circumstances.teams.iter().any(|team| wanted.names(&team.id, &team.slug, deny))
            }
            _ => false,
        })
    }
}

fn refuse(cause: &'static str) -> Error {
    Error::Denied {
        message: "denied by the secret's access policy".to_owned(),
        cause: format!("access policy: {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user() -> Principal {
        Principal::User { subject: "u-1".into() }
    }

    fn policy(json: &str) -> Result<AccessPolicy> {
        AccessPolicy::compile(&serde_json::from_str(json).unwrap())
    }

    /// Asks from `client` at `time` (UTC).
    fn passes(policy: &AccessPolicy, action: Action, client: &str, time: &str) -> bool {
        let teams = [Team { id: "team-1".into(), slug: "platform".into() }];
        let circumstances = Circumstances {
            principal: &user(),
            teams: &teams,
            client: client.parse().ok(),
            now: time.parse::<Timestamp>().unwrap().as_microsecond(),
        };
        policy.check(action, &circumstances).is_ok()
    }

    const NOON: &str = "2026-11-21T12:00:00Z";

    #[test]
    fn address_conditions() {
        let vpc = r#"{"conditions":[{"type":"ip","effect":"allow","cidrs":["10.0.0.0/8","2001:db8::/32"]},
                                     {"type":"ip","effect":"deny","cidrs":["10.9.9.9"]}]}"#;
        let grouped = r#"{"allowed":[{"type":"ip","ips":["10.0.0.0/8","2001:db8::/32"]}],
                          "denied":[{"type":"ip","cidrs":["::ffff:10.9.9.9"]}]}"#;
        for json in [vpc, grouped] {
            let policy = policy(json).unwrap();
            for (client, expected) in [
                ("10.1.2.3", true),
                ("::ffff:10.1.2.3", true),
                ("2001:db8::1", true),
                ("10.9.9.9", false),
                ("::ffff:10.9.9.9", false),
                ("192.0.2.1", false),
                ("unknown", false),
            ] {
                assert_eq!(
                    passes(&policy, Action::GetSecretValue, client, NOON),
                    expected,
                    "{client}"
                );
            }
        }
        let deny_only = policy(r#"{"denied":[{"type":"ip","ips":["203.0.113.50"]}]}"#).unwrap();
        assert!(passes(&deny_only, Action::GetSecretValue, "10.0.0.1", NOON));
        assert!(
            !passes(&deny_only, Action::GetSecretValue, "unknown", NOON),
            "unknown matches a deny"
        );
    }

    #[test]
    fn hour_conditions() {
        let window = |start: u8, end: u8, zone: &str| {
            policy(&format!(
                r#"{{"conditions":[{{"type":"time","effect":"allow","startHour":{start},"endHour":{end},"timezone":"{zone}"}}]}}"#
            ))
        };
        let at =
            |policy: &AccessPolicy, time| passes(policy, Action::PutSecretValue, "10.0.0.1", time);
        let office = window(8, 18, "Europe/Amsterdam").unwrap();
        // Winter: UTC+1. Summer: UTC+2. The window is half-open.
        for (time, expected) in [
            ("2026-01-15T06:59:59Z", false),
            ("2026-01-15T07:00:00Z", true),
            ("2026-01-15T16:59:59Z", true),
            ("2026-01-15T17:00:00Z", false),
            ("2026-07-15T06:00:00Z", true),
            ("2026-07-15T16:00:00Z", false),
        ] {
            assert_eq!(at(&office, time), expected, "{time}");
        }
        let night = window(22, 6, "UTC").unwrap();
        for (time, expected) in [
            ("2026-01-15T21:59:59Z", false),
            ("2026-01-15T22:00:00Z", true),
            ("2026-01-15T00:00:00Z", true),
            ("2026-01-15T05:59:59Z", true),
            ("2026-01-15T06:00:00Z", false),
        ] {
            assert_eq!(at(&night, time), expected, "{time}");
        }
        let day = window(0, 24, "UTC").unwrap();
        assert!(at(&day, "2026-01-15T23:59:59Z") && at(&day, "2026-01-15T00:00:00Z"));
        for (start, end, zone) in
            [(8, 8, "UTC"), (24, 8, "UTC"), (8, 25, "UTC"), (8, 18, "Mars/Olympus")]
        {
            assert!(window(start, end, zone).is_err(), "{start}-{end} {zone}");
        }
    }

    #[test]
    fn statements() {
        for (json, reveal, put) in [
            (
                r#"[{"effect":"Allow","actions":["read"],"principals":["team:platform"]}]"#,
                true,
                true,
            ),
            (r#"[{"effect":"Allow","actions":["read"],"principals":["team:other"]}]"#, false, true),
            (r#"[{"effect":"ALLOW","actions":["secrets:get-value"]}]"#, true, true),
            (r#"[{"effect":"allow","actions":["write"],"principals":["user:u-2"]}]"#, true, false),
            (r#"[{"effect":"deny","actions":["*"],"principals":["user:u-1"]}]"#, false, false),
            (r#"[{"effect":"deny","actions":["putSecretValue"],"principals":["*"]}]"#, true, false),
            (
                r#"[{"effect":"allow","actions":["*"],"principals":["user:u-1"]},
                    {"effect":"deny","actions":["read"],"principals":["team:team-1"]}]"#,
                false,
                true,
            ),
            (
                r#"[{"effect":"allow","actions":["*"],"principals":["serviceAccount:ci"]}]"#,
                false,
                false,
            ),
        ] {
            let policy = policy(&format!(r#"{{"statements":{json}}}"#)).unwrap();
            assert_eq!(passes(&policy, Action::GetSecretValue, "10.0.0.1", NOON), reveal, "{json}");
            assert_eq!(passes(&policy, Action::PutSecretValue, "10.0.0.1", NOON), put, "{json}");
        }
    }

    #[test]
    fn flaws_are_refused() {
        for json in [
            r#"{"conditions":[{"type":"geo","effect":"allow"}]}"#,
            r#"{"conditions":[{"type":"ip","cidrs":["10.0.0.0/8"]}]}"#,
            r#"{"conditions":[{"type":"ip","effect":"maybe","cidrs":["10.0.0.0/8"]}]}"#,
            r#"{"conditions":[{"type":"ip","effect":"allow","cidrs":[]}]}"#,
            r#"{"conditions":[{"type":"ip","effect":"allow"}]}"#,
            r#"{"conditions":[{"type":"ip","effect":"allow","cidrs":["10.0.0.0/33"]}]}"#,
            r#"{"conditions":[{"type":"ip","effect":"allow","cidrs":["host.example"]}]}"#,
            r#"{"conditions":[{"type":"ip","effect":"allow","cidrs":["10.0.0.1"],"startHour":1}]}"#,
            r#"{"conditions":[{"type":"time","effect":"allow","startHour":8}]}"#,
            r#"{"allowed":[{"type":"ip","effect":"allow","ips":["10.0.0.1"]}]}"#,
            r#"{"statements":[{"effect":"perhaps","actions":["read"]}]}"#,
            r#"{"statements":[{"effect":"allow","actions":["fly"]}]}"#,
            r#"{"statements":[{"effect":"allow","actions":[]}]}"#,
            r#"{"statements":[{"effect":"allow","actions":["read"],"principals":["role:x"]}]}"#,
            r#"{"statements":[{"effect":"allow","actions":["read"],"principals":["user:"]}]}"#,
            r#"{"statements":[{"effect":"allow","actions":["read"],"principals":[]}]}"#,
        ] {
            assert!(policy(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn one_more_deny_never_allows_more(
            allow in "10\\.[0-3]\\.0\\.0/16", deny in "10\\.[0-3]\\.0\\.0/16", client in "10\\.[0-3]\\.0\\.1",
        ) {
            let one = format!(r#"{{"allowed":[{{"type":"ip","ips":["{allow}"]}}]}}"#);
            let two = format!(
                r#"{{"allowed":[{{"type":"ip","ips":["{allow}"]}}],"denied":[{{"type":"ip","ips":["{deny}"]}}]}}"#
            );
            let before = passes(&policy(&one).unwrap(), Action::GetSecretValue, &client, NOON);
            let after = passes(&policy(&two).unwrap(), Action::GetSecretValue, &client, NOON);
            prop_assert!(before || !after);
        }
    }
}
