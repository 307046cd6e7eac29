//! Why something is allowed, or not.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use coffer_api::{ExplainedGrant, ExplainedPolicy, ExplainedRule, Explanation};

use super::caller::{Authenticated, Segment};
use super::query::Params;
use super::reply::{self, Reply};
use super::secret_url::parse_path;
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::action::Action;
use crate::secrets::Named;
use crate::secrets::explain::{self, ACTIONS, Explained, Question, Source};

/// Explain who may do what with a secret
///
/// What IAM decides, and what makes it so; with `read` on the path also what the secret's access policy says for
/// the address this call comes from, now. For callers who may read every role.
#[utoipa::path(get, path = "/v1/secrets/{region}/explain", tag = "Secrets",
    params(
        ("path" = String, Query, description = "The secret's path, whether there is one or not",
            min_length = 1, max_length = 512, example = "/app/production/db/password",
            pattern = r"^/(?!\.\.?(/|$))[A-Za-z0-9_.+-]+(/(?!\.\.?(/|$))[A-Za-z0-9_.+-]+)*$"),
        ("permission" = String, Query, description = "For example `getSecretValue`",
            pattern = "^(create|read|update|delete|list|getSecretValue|putSecretValue)$"),
        ("principal" = Option<String>, Query,
            description = "`user:<subject>` or `serviceAccount:<identity or slug>`; the caller when absent",
            pattern = "^(user|serviceAccount):"),
    ),
    responses((status = 200, body = Explanation)))]
pub async fn explain(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    uri: Uri,
) -> Reply {
    let params = Params::parse(uri.query());
    let path = params.text("path").and_then(|path| parse_path(&path));
    let named = Named { region, path };
    let explained = explain::explain(&app, &call, named, read_question(&params)).await;
    reply::of(Action::ExplainSecret, explained, show)
}

fn read_question(params: &Params) -> Result<Question> {
    let word = params.text("permission")?;
    let action = ACTIONS.iter().find(|(known, _)| *known == word).map(|(_, action)| *action);
    let known = || ACTIONS.map(|(word, _)| word).join(", ");
    Ok(Question {
        action: action
            .ok_or_else(|| Error::invalid("permission", format!("must be one of {}", known())))?,
        principal: params.find("principal")?.map(str::to_owned),
    })
}

fn show(explained: Explained) -> Explanation {
    let word = ACTIONS.iter().find(|(_, action)| *action == explained.action);
    Explanation {
        path: explained.path,
        permission: word.map(|(word, _)| (*word).to_owned()).unwrap_or_default(),
        principal: explained.principal,
        allowed: explained.allowed,
        reason: explained.reason,
        grant: explained.grant.map(show_source),
        access_policy: explained.policy.map(|policy| ExplainedPolicy {
            allowed: policy.allowed,
            reason: policy.reason,
            condition: policy.condition,
        }),
    }
}

fn show_source(source: Source) -> ExplainedGrant {
    let grant = source.grant;
    ExplainedGrant {
        role_identity: source.role,
        policy_identity: source.policy,
        rule: ExplainedRule {
            identity: source.rule,
            resources: grant.resources.unwrap_or_else(|| vec!["*".to_owned()]),
            resource_identities: grant.patterns.iter().map(|p| p.as_str().to_owned()).collect(),
            permissions: grant.permissions.words().into_iter().map(str::to_owned).collect(),
        },
        role: grant.role,
        binding: source.binding,
    }
}
