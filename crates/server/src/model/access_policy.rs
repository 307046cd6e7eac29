//! Access policies: address, hour and principal rules on top of IAM, for reveal and put (contract, 2.7).

use std::net::IpAddr;

use coffer_api::{
    AccessPolicy as Wire, Condition as WireCondition, Hours, Statement as WireStatement,
};
use ipnet::IpNet;
use jiff::{Timestamp, tz::TimeZone};

use super::action::Action;
use super::caller::{Principal, Team};
use super::limits::{
    POLICY_CIDRS_MAX, POLICY_CONDITIONS_MAX, POLICY_STATEMENTS_MAX, POLICY_WORDS_MAX,
};
use crate::error::{Error, Result, shorten};

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
    Team(String),
    /// Identity or slug.
    ServiceAccount(String),
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
    /// Checks a policy as it was sent; every flaw is a 400 that names the place.
    pub fn compile(wire: &Wire) -> Result<Self> {
        let mut policy = Self::default();
        let none = Vec::new();
        let conditions = wire.conditions.as_ref().unwrap_or(&none);
        let allowed = wire.allowed.as_ref().unwrap_or(&none);
        let denied = wire.denied.as_ref().unwrap_or(&none);
        if conditions.len() + allowed.len() + denied.len() > POLICY_CONDITIONS_MAX {
            return Err(invalid("conditions", format!("more than {POLICY_CONDITIONS_MAX}")));
        }
        for (at, condition) in conditions.iter().enumerate() {
            let place = format!("conditions[{at}]");
            match condition.effect.as_deref() {
                Some("allow") => policy.allowed.push(compile_condition(&place, condition)?),
                Some("deny") => policy.denied.push(compile_condition(&place, condition)?),
                _ => return Err(invalid(&place, "`effect` must be `allow` or `deny`")),
            }
        }
        for (group, name, into) in
            [(allowed, "allowed", &mut policy.allowed), (denied, "denied", &mut policy.denied)]
        {
            for (at, condition) in group.iter().enumerate() {
                let place = format!("{name}[{at}]");
                if condition.effect.is_some() {
                    return Err(invalid(&place, "`effect` is given by the group"));
                }
                into.push(compile_condition(&place, condition)?);
            }
        }
        let statements = wire.statements.as_deref().unwrap_or_default();
        if statements.len() > POLICY_STATEMENTS_MAX {
            return Err(invalid("statements", format!("more than {POLICY_STATEMENTS_MAX}")));
        }
        for (at, statement) in statements.iter().enumerate() {
            policy.statements.push(compile_statement(&format!("statements[{at}]"), statement)?);
        }
        Ok(policy)
    }

    /// Whether the policy lets `action` pass: conditions and statements must both. Deny wins in each.
    pub fn check(&self, action: Action, circumstances: &Circumstances<'_>) -> Result<()> {
        self.check_conditions(circumstances)?;
        self.check_statements(action, circumstances)
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
        self.principals.iter().any(|principal| match (principal, circumstances.principal) {
            (PolicyPrincipal::Everyone, _) => true,
            (PolicyPrincipal::User(wanted), Principal::User { subject }) => wanted == subject,
            (PolicyPrincipal::ServiceAccount(wanted), Principal::ServiceAccount { id, slug }) => {
                wanted == id || wanted == slug
            }
            (PolicyPrincipal::Team(wanted), _) => {
                circumstances.teams.iter().any(|team| team.id == *wanted || team.slug == *wanted)
            }
            _ => false,
        })
    }
}

fn compile_condition(place: &str, wire: &WireCondition) -> Result<Condition> {
    let hours = (wire.start_hour, wire.end_hour, wire.timezone.as_ref());
    match wire.r#type.as_str() {
        "ip" if hours != (None, None, None) || wire.time.is_some() => {
            Err(invalid(place, "hours belong to a condition of type `time`"))
        }
        "ip" => match (&wire.cidrs, &wire.ips) {
            (Some(nets), None) | (None, Some(nets)) => compile_nets(place, nets),
            _ => Err(invalid(place, "give either `cidrs` or `ips`")),
        },
        "time" if wire.cidrs.is_some() || wire.ips.is_some() => {
            Err(invalid(place, "addresses belong to a condition of type `ip`"))
        }
        "time" => match (hours, &wire.time) {
            ((Some(start), Some(end), Some(zone)), None) => compile_hours(place, start, end, zone),
            ((None, None, None), Some(Hours { start_hour, end_hour, timezone })) => {
                compile_hours(place, *start_hour, *end_hour, timezone)
            }
            _ => Err(invalid(place, "needs `startHour`, `endHour` and `timezone`")),
        },
        _ => Err(invalid(place, "`type` must be `ip` or `time`")),
    }
}

fn compile_nets(place: &str, texts: &[String]) -> Result<Condition> {
    if texts.is_empty() || texts.len() > POLICY_CIDRS_MAX {
        return Err(invalid(place, format!("must have 1 to {POLICY_CIDRS_MAX} CIDRs")));
    }
    let nets = texts.iter().map(|text| {
        parse_net(text)
            .ok_or_else(|| invalid(place, format!("`{}` is not an address or CIDR", shorten(text))))
    });
    Ok(Condition::Ip(nets.collect::<Result<_>>()?))
}

/// Reads an address or CIDR; IPv4 within IPv6 becomes IPv4, as client addresses do.
pub fn parse_net(text: &str) -> Option<IpNet> {
    let net =
        text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    Some(canonical_net(net))
}

/// IPv4 within IPv6 as IPv4.
pub fn canonical_net(net: IpNet) -> IpNet {
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => {
            let v4 = v6.addr().to_ipv4_mapped();
            v4.and_then(|v4| IpNet::new(IpAddr::V4(v4), v6.prefix_len() - 96).ok()).unwrap_or(net)
        }
        _ => net,
    }
}

fn compile_hours(place: &str, start: i64, end: i64, zone: &str) -> Result<Condition> {
    if !(0..=23).contains(&start) || !(0..=24).contains(&end) {
        return Err(invalid(place, "`startHour` must be 0 to 23 and `endHour` 0 to 24"));
    }
    if start == end {
        return Err(invalid(place, "`startHour` and `endHour` are equal"));
    }
    let zone = TimeZone::get(zone)
        .map_err(|_| invalid(place, format!("`{}` is not an IANA time zone", shorten(zone))))?;
    let hour = |n: i64| i8::try_from(n).unwrap_or_default();
    Ok(Condition::Time { start_hour: hour(start), end_hour: hour(end), zone })
}

fn compile_statement(place: &str, wire: &WireStatement) -> Result<Statement> {
    let deny = match wire.effect.to_ascii_lowercase().as_str() {
        "allow" => false,
        "deny" => true,
        _ => return Err(invalid(place, "`effect` must be `allow` or `deny`")),
    };
    if wire.actions.is_empty() || wire.actions.len() > POLICY_WORDS_MAX {
        return Err(invalid(place, format!("must have 1 to {POLICY_WORDS_MAX} actions")));
    }
    let mut statement = Statement { deny, reveals: false, puts: false, principals: Vec::new() };
    for action in &wire.actions {
        match action.as_str() {
            "read" | "getSecretValue" | "secrets:get-value" | "secrets:getSecretValue" => {
                statement.reveals = true;
            }
            "write" | "putSecretValue" | "secrets:put-value" | "secrets:putSecretValue" => {
                statement.puts = true;
            }
            "*" => (statement.reveals, statement.puts) = (true, true),
            other => {
                return Err(invalid(place, format!("unknown action `{}`", shorten(other))));
            }
        }
    }
    statement.principals = match wire.principals.as_deref() {
        None => vec![PolicyPrincipal::Everyone],
        Some([]) => {
            return Err(invalid(place, "`principals` is empty; leave it out for everyone"));
        }
        Some(texts) if texts.len() > POLICY_WORDS_MAX => {
            return Err(invalid(place, format!("more than {POLICY_WORDS_MAX} principals")));
        }
        Some(texts) => {
            texts.iter().map(|text| compile_principal(place, text)).collect::<Result<_>>()?
        }
    };
    Ok(statement)
}

fn compile_principal(place: &str, text: &str) -> Result<PolicyPrincipal> {
    match text.split_once(':') {
        None if text == "*" => Ok(PolicyPrincipal::Everyone),
        Some(("user", subject)) if !subject.is_empty() => {
            Ok(PolicyPrincipal::User(subject.to_owned()))
        }
        Some(("team", team)) if !team.is_empty() => Ok(PolicyPrincipal::Team(team.to_owned())),
        // No caller is a service account yet, so naming one matches nobody: it allows and denies no one.
        Some(("serviceAccount", account)) if !account.is_empty() => {
            Ok(PolicyPrincipal::ServiceAccount(account.to_owned()))
        }
        _ => Err(invalid(
            place,
            format!(
                "principal `{}` must be `*`, `user:…`, `team:…` or `serviceAccount:…`",
                shorten(text)
            ),
        )),
    }
}

fn invalid(place: &str, why: impl Into<String>) -> Error {
    Error::invalid(&format!("accessPolicy.{place}"), why)
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
