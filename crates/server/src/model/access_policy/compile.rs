//! Access policies as they are sent → as they are asked. Every flaw is told with its place.

use std::net::IpAddr;

use coffer_api::{
    AccessPolicy as Wire, Condition as WireCondition, Hours, Statement as WireStatement,
};
use ipnet::IpNet;
use jiff::tz::TimeZone;

use super::{AccessPolicy, Condition, PolicyPrincipal, Reference, Statement};
use crate::error::{Error, Result, shorten};
use crate::model::limits::{
    POLICY_CIDRS_MAX, POLICY_CONDITIONS_MAX, POLICY_STATEMENTS_MAX, POLICY_WORDS_MAX,
};

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
        Some(("team", team)) if !team.is_empty() => Ok(PolicyPrincipal::Team(Reference::new(team))),
        Some(("serviceAccount", account)) if !account.is_empty() => {
            Ok(PolicyPrincipal::ServiceAccount(Reference::new(account)))
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
