//! What is kept of each answer for whoever asks again with the same idempotency key: the body that the handler sends,
//! or the identity alone where that body shows something once.

use serde::Serialize;
use serde_json::json;

use super::platform::{show_organisation, show_platform_increase, show_region};
use super::quotas::show_increase;
use super::secrets::show_put;
use super::{wire, wire_policies};
use crate::error::{Error, Result};
use crate::iam;
use crate::kms;
use crate::model::elevation::Elevation;
use crate::model::federation::{Federation, Provider};
use crate::model::idempotency::Answer;
use crate::model::identity::{PersonalToken, User};
use crate::model::policy::PolicyBinding;
use crate::model::quota::Increase;
use crate::model::role::{Binding, Rule};
use crate::model::service_account::{AccessCredential, ServiceAccount};
use crate::model::team::{Member, TeamMember};
use crate::platform;
use crate::secrets;

/// Each row: what an operation answers, and its body at a time.
macro_rules! answers {
    ($($answer:ty: |$it:ident, $now:pat_param| $body:expr;)*) => {$(
        impl Answer for $answer {
            fn body(&self, $now: i64) -> Result<String> {
                let $it = self;
                text(&$body)
            }
        }
    )*};
}

answers! {
    secrets::value::Put: |put, _| show_put(put);
    iam::roles::View: |view, _| wire::role(view.clone());
    Rule: |rule, _| wire::rule(rule.clone());
    Binding: |binding, _| wire::binding(binding.clone());
    iam::teams::View: |view, _| wire::team(view.clone());
    TeamMember: |member, _| wire::team_member(member);
    Member: |member, _| wire::member(member.clone());
    ServiceAccount: |account, _| wire::service_account(account.clone());
    iam::projects::View: |view, _| wire::project(view.clone());
    iam::policies::View: |view, _| wire_policies::policy(view.clone());
    PolicyBinding: |binding, _| wire_policies::policy_binding(binding.clone());
    Elevation: |elevation, now| wire_policies::elevation(elevation.clone(), now);
    Provider: |provider, _| wire::provider(provider.clone());
    Federation: |federation, now| wire::federation(federation.clone(), now);
    Increase: |increase, _| show_increase(increase);
    platform::organisations::View: |view, _| show_organisation(view);
    platform::regions::View: |view, _| show_region(view);
    platform::quotas::View: |view, _| show_platform_increase(view);

    // SECURITY: a token, a secret or a code was shown with the first answer, and is with no other.
    PersonalToken: |token, _| identity(&token.id);
    AccessCredential: |credential, _| identity(&credential.id);
    iam::invites::View: |view, _| identity(&view.invite.id);
    (platform::organisations::View, User): |made, _| identity(&made.0.organisation.id);
}

impl Answer for secrets::View {
    fn body(&self, _: i64) -> Result<String> {
        text(&wire::secret(self.clone()))
    }

    fn object_version(&self) -> Option<i64> {
        Some(self.secret.object_version)
    }
}

impl Answer for kms::View {
    fn body(&self, _: i64) -> Result<String> {
        text(&wire::key_view(self.clone()))
    }

    fn object_version(&self) -> Option<i64> {
        Some(self.key.object_version)
    }
}

impl Answer for () {
    fn body(&self, _: i64) -> Result<String> {
        Ok(String::new())
    }
}

fn identity(id: &str) -> serde_json::Value {
    json!({"identity": id})
}

fn text(body: &impl Serialize) -> Result<String> {
    serde_json::to_string(body).map_err(|_| Error::bug("an answer cannot be written as JSON"))
}
