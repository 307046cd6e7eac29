//! The description of the API (OpenAPI 3.1), made from the handlers.

use std::sync::OnceLock;

use axum::body::Body;
use serde_json::{Map, Value as Json, json};
use utoipa::OpenApi;

use super::reply::{self, Reply};
use super::{
    audit, elevations, explain, federation, health, iam, invites, kms, me, metering, oidc,
    platform, policies, projects, quotas, regions, secrets, service_accounts, teams,
};
use crate::error::Outcome;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Coffer",
        description = "Secrets Manager and KMS with IAM. Limits: body 256 KiB, URL 4 KiB, header block \
            16 KiB, JSON depth 16. Errors are `{\"message\": …}`; every answer carries `X-Request-Id`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        health::healthz,
        health::readyz,
        document,
        oidc::token,
        oidc::jwks,
        oidc::metadata,
        me::read,
        me::memberships,
        me::list_tokens,
        me::create_token,
        me::delete_token,
        regions::list,
        regions::read,
        secrets::list,
        secrets::create,
        secrets::read,
        secrets::update,
        secrets::delete,
        secrets::set_policy,
        secrets::put,
        secrets::destroy_version,
        secrets::reveal,
        explain::explain,
        kms::summary,
        kms::list,
        kms::create,
        kms::read,
        kms::schedule_deletion,
        kms::cancel_deletion,
        kms::rotate,
        kms::disable,
        kms::enable,
        kms::set_rotation,
        kms::wrapping_key,
        kms::data::encrypt,
        kms::data::decrypt,
        kms::data::generate_data_key,
        kms::data::rewrap,
        kms::data::sign,
        kms::data::verify,
        kms::data::hmac,
        kms::data::verify_hmac,
        kms::data::public_key,
        kms::data::export,
        iam::list_roles,
        iam::create_role,
        iam::read_role,
        iam::delete_role,
        iam::create_rule,
        iam::delete_rule,
        iam::list_bindings,
        iam::create_binding,
        iam::delete_binding,
        teams::list,
        teams::create,
        teams::read,
        teams::update,
        teams::delete,
        teams::add_member,
        teams::drop_member,
        teams::list_members,
        teams::update_member,
        teams::delete_member,
        service_accounts::list,
        service_accounts::create,
        service_accounts::read,
        service_accounts::update,
        service_accounts::delete,
        service_accounts::list_credentials,
        service_accounts::create_credential,
        service_accounts::delete_credential,
        projects::list,
        projects::create,
        projects::read,
        projects::update,
        projects::delete,
        policies::list,
        policies::create,
        policies::list_assignable,
        policies::list_members,
        policies::read,
        policies::update,
        policies::delete,
        policies::create_rule,
        policies::delete_rule,
        policies::list_bindings,
        policies::create_binding,
        policies::read_binding,
        policies::update_binding,
        policies::delete_binding,
        policies::list_access,
        elevations::list_own,
        elevations::request,
        elevations::read_own,
        elevations::cancel,
        elevations::list,
        elevations::read,
        elevations::approve,
        elevations::reject,
        elevations::revoke,
        federation::list_providers,
        federation::create_provider,
        federation::read_provider,
        federation::update_provider,
        federation::delete_provider,
        federation::list,
        federation::create,
        federation::read,
        federation::update,
        federation::delete,
        invites::list,
        invites::create,
        invites::accept,
        invites::delete,
        metering::secret_versions,
        quotas::list,
        quotas::request_increase,
        quotas::read,
        audit::search,
        platform::list_organisations,
        platform::create_organisation,
        platform::read_organisation,
        platform::update_organisation,
        platform::list_regions,
        platform::update_region,
        platform::list_increases,
        platform::approve,
        platform::deny,
        platform::search_audit,
    ),
    components(schemas(coffer_api::ErrorBody))
)]
struct Description;

/// This description
#[utoipa::path(get, path = "/openapi.json", tag = "Health",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
pub async fn document() -> Reply {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| describe().to_string());
    reply::as_json(reply::with(Outcome::Ok, Body::from(text.as_str())))
}

/// The handlers' own descriptions, and what all of them share: parameters, errors, authentication.
pub fn describe() -> Json {
    let mut document = serde_json::to_value(Description::openapi()).unwrap_or_default();
    document["components"]["securitySchemes"] = json!({
        "token": {"type": "http", "scheme": "bearer", "description": "A personal access token (`tc_pat_…`), or an access token \
            of `/oidc/token`"},
        "accessKey": {"type": "http", "scheme": "basic", "description": "An access key of a service account \
            (`tc_ak_…`) with its secret (`tc_sk_…`)"},
        "administrator": {"type": "http", "scheme": "bearer", "description": "The token of an administrator of the \
            platform (`tc_adm_…`), good for `/v1/platform` alone"}
    });
    complete_schemas(&mut document["components"]["schemas"]);
    let Some(paths) = document["paths"].as_object_mut() else {
        return document;
    };
    for (path, item) in paths.iter_mut() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if let Some(operation) = operation.as_object_mut() {
                complete(path, method, operation);
            }
        }
    }
    let by_query: Vec<_> = paths.iter().filter_map(|(path, item)| by_query(path, item)).collect();
    paths.extend(by_query);
    document
}

/// What derived schemas cannot say: exactly one of the three value inputs (section 2.6), and a period where
/// rotation is on (section 3.5).
fn complete_schemas(schemas: &mut Json) {
    for name in ["CreateSecretRequest", "PutSecretValueRequest"] {
        let schema = &mut schemas[name];
        schema["properties"]["generateSecret"] =
            json!({"$ref": "#/components/schemas/GenerateSecret"});
        let inputs = ["secretString", "secretKeyValues", "generateSecret"];
        schema["oneOf"] = inputs.map(|input| json!({"required": [input]})).into();
    }
    let rotation_on = json!({"keyRotationEnabled": {"const": true}});
    let period = json!({"rotationPeriodInDays": {"type": "integer"}});
    let key = &mut schemas["CreateKeyRequest"];
    key["if"] = json!({"properties": rotation_on, "required": ["keyRotationEnabled"]});
    key["then"] = json!({"properties": period, "required": ["rotationPeriodInDays"]});
}

/// Below these every call names an organisation.
const ORGANISATIONS: [&str; 11] = [
    "/v1/secrets",
    "/v1/kms",
    "/v1/iam",
    "/v1/teams",
    "/v1/memberships",
    "/v1/service-accounts",
    "/v1/federated-identit",
    "/v1/invites",
    "/v1/quotas",
    "/v1/metering",
    "/v1/audit",
];

/// Whoever accepts an invite belongs to no organisation yet, and may be nobody known.
const ACCEPT: &str = "/v1/invites/accept";

fn complete(path: &str, method: &str, operation: &mut Map<String, Json>) {
    let open = !path.starts_with("/v1/");
    if open {
        return;
    }
    let names_organisation = ORGANISATIONS.iter().any(|at| path.starts_with(at)) && path != ACCEPT;
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(parameters) = parameters.as_array_mut() {
        parameters.extend(shared_parameters(path, method, names_organisation));
    }
    let mut statuses = vec![400, 401, 403, 404, 405, 414, 429, 431, 503];
    if operation.contains_key("requestBody") {
        statuses.extend([409, 413, 415]);
    }
    if takes_key(path, method) {
        statuses.push(409);
        tell_of_replays(operation);
    }
    if names_organisation {
        statuses.push(412);
    }
    if let Some(responses) = operation.get_mut("responses").and_then(Json::as_object_mut) {
        for status in statuses {
            responses.entry(status.to_string()).or_insert_with(|| refusal(status));
        }
    }
    let security = match path {
        ACCEPT => json!([{}, {"token": []}]),
        path if path.starts_with("/v1/platform") => json!([{"administrator": []}]),
        _ => json!([{"token": []}, {"accessKey": []}]),
    };
    operation.insert("security".into(), security);
    let id = format!("{method}{}", path.replace(['/', '{', '}'], "_"));
    operation.insert("operationId".into(), Json::from(id));
}

/// What neither changes a secret or key nor shows its metadata: it has no use for a tag or an idempotency key.
fn is_use(path: &str) -> bool {
    const USES: [&str; 11] = [
        "value",
        "encrypt",
        "decrypt",
        "generate-data-key",
        "rewrap",
        "sign",
        "verify",
        "hmac",
        "verify-hmac",
        "public-key",
        "export",
    ];
    path.rsplit('/').next().is_some_and(|last| USES.contains(&last))
}

/// Whether a change can be asked for under an idempotency key.
fn takes_key(path: &str, method: &str) -> bool {
    method == "post" && !is_use(path) && path != ACCEPT
}

fn tell_of_replays(operation: &mut Map<String, Json>) {
    let responses = operation.get_mut("responses").and_then(Json::as_object_mut);
    for (status, response) in responses.into_iter().flatten() {
        if status.starts_with('2') {
            response["headers"]["Idempotency-Replayed"] = json!({
                "description": "`true` when this is the answer of before, and nothing was done",
                "schema": {"type": "string", "enum": ["true"]}
            });
            let schema = &mut response["content"]["application/json"]["schema"];
            if schema["$ref"].as_str().is_some_and(|name| name.starts_with(SHOWN_ONCE)) {
                *schema = json!({"anyOf": [schema.clone(), {
                    "type": "object", "required": ["identity"], "additionalProperties": false,
                    "properties": {"identity": {"type": "string"}},
                    "description": "When replayed: what is shown once is not shown again"
                }]});
            }
        }
    }
}

/// How the schemas of answers begin that show a token, a secret or a code.
const SHOWN_ONCE: &str = "#/components/schemas/Created";

fn shared_parameters(path: &str, method: &str, names_organisation: bool) -> Vec<Json> {
    let mut parameters = Vec::new();
    let mut place = |name: &str, about: &str, schema: Json| {
        if path.contains(&format!("{{{name}}}")) && !path.starts_with("/v1/regions") {
            parameters.push(json!({
                "name": name, "in": "path", "required": true, "description": about, "schema": schema
            }));
        }
    };
    place(
        "region",
        "Identity or slug of the region",
        json!({"type": "string", "examples": ["nl-01"]}),
    );
    let reference = json!({"type": "string", "minLength": 1});
    place("invite", "Identity of the invite", reference.clone());
    place("quota", "Name of the quota, for example `secrets.count`", reference.clone());
    place("organisation", "Identity or slug of the organisation", reference.clone());
    place("request", "Identity of the request", reference.clone());
    place("key", "Identity or slug of the key", reference.clone());
    place("role", "Identity or slug of the role", reference.clone());
    place("project", "Identity or slug of the project", reference.clone());
    place("policy", "Identity or slug of the IAM policy", reference.clone());
    place("elevation", "Identity of the access elevation", reference.clone());
    place("rule", "Identity of the rule", reference.clone());
    place("binding", "Identity of the binding", reference.clone());
    place("team", "Identity or slug of the team", reference.clone());
    place("member", "Identity of the member: the user's subject", reference.clone());
    place("membership", "Identity of the membership", reference.clone());
    place("account", "Identity or slug of the service account", reference.clone());
    place("credential", "Identity of the credential", reference.clone());
    place("provider", "Identity of the identity provider", reference.clone());
    place("federation", "Identity of the federated identity", reference);
    place(
        "path",
        "The secret's path without its first slash. The other slashes may stand as `%2F`.",
        path_schema(511, "", "app/production/db/password"),
    );
    if names_organisation {
        let name = "X-Organisation-Identity";
        parameters.push(header(name, true, "Identity or slug of the organisation"));
        let needs_project = path.starts_with("/v1/projects/iam/");
        let about = "Identity or slug of a project";
        parameters.push(header("X-Project-Identity", needs_project, about));
    }
    if takes_key(path, method) {
        let about = "Under which the change is made once: asked for again within 24 hours, it is not made again, and \
            the first answer comes back, with `Idempotency-Replayed: true`";
        let mut key = header("Idempotency-Key", false, about);
        key["schema"] = json!({"type": "string", "minLength": 1, "maxLength": 128,
            "pattern": "^[!-~]([ -~]{0,126}[!-~])?$"});
        parameters.push(key);
    }
    let tagged = path.contains("/secret/{path}") || path.contains("/keys/{key}");
    if tagged && !is_use(path) {
        let about = "`\"<objectVersion>\"` or `*`";
        match method {
            // A tag that is not of our making matches nothing, so a read simply answers.
            "get" => parameters.push(header("If-None-Match", false, about)),
            _ => {
                let mut tag = header("If-Match", false, about);
                tag["schema"]["pattern"] = Json::from(r#"^("[1-9][0-9]{0,9}"|\*)$"#);
                parameters.push(tag);
            }
        }
    }
    parameters
}

/// The rules of section 2.3, behind `first`.
fn path_schema(length_max: usize, first: &str, example: &str) -> Json {
    let segment = r"(?!\.\.?(/|$))[A-Za-z0-9_.+-]+";
    json!({
        "type": "string", "minLength": 1, "maxLength": length_max,
        "pattern": format!("^{first}{segment}(/{segment})*$"), "examples": [example]
    })
}

fn header(name: &str, required: bool, about: &str) -> Json {
    json!({
        "name": name, "in": "header", "required": required, "description": about,
        // A header that is needed and empty is one that is missing.
        "schema": {"type": "string", "minLength": i32::from(required)}
    })
}

fn refusal(status: u16) -> Json {
    let about = match status {
        400 => "Malformed or invalid input, or the wrong state",
        401 => "Credentials missing or not valid",
        403 => "Feature off, permission denied, or denied by the access policy",
        404 => "Not found, in this scope; for KMS also: permission denied",
        405 => "Method not allowed here",
        409 => "Exists already, or the idempotency key was used for another request",
        412 => "`If-Match` names another object version",
        413 => "Body larger than 256 KiB",
        414 => "URL longer than 4 KiB",
        415 => "Body is not `application/json`",
        429 => "Too many requests; see `Retry-After`",
        431 => "Header block larger than 16 KiB",
        _ => "KMS not available in the region, or the store cannot be written",
    };
    json!({
        "description": about,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
    })
}

/// The `?path=` form of an operation at a secret's path (section 14, 2).
fn by_query(path: &str, item: &Json) -> Option<(String, Json)> {
    let shorter = path.replace("/secret/{path}", "/secret");
    if shorter == path {
        return None;
    }
    let mut item = item.clone();
    for operation in item.as_object_mut()?.values_mut() {
        let id = format!("{}_by_query", operation["operationId"].as_str().unwrap_or_default());
        operation["operationId"] = Json::from(id);
        for parameter in operation["parameters"].as_array_mut()? {
            if parameter["in"] == "path" && parameter["name"] == "path" {
                parameter["in"] = Json::from("query");
                parameter["description"] = Json::from("The secret's path");
                parameter["schema"] = path_schema(512, "/", "/app/production/db/password");
            }
        }
    }
    Some((shorter, item))
}
