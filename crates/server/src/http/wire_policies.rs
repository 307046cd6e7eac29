//! IAM policies and access elevations → bodies of the contract.

use coffer_api as api;

use super::wire::{holder, project_name, rule, time};
use crate::iam::policies::View;
use crate::iam::policy_bindings::{Access, AccessQuery, Member};
use crate::model::elevation::Elevation;
use crate::model::policy::PolicyBinding;

pub fn policy(view: View) -> api::IamPolicy {
    let policy = view.policy;
    let (rules, bindings) = view.contents.unzip();
    api::IamPolicy {
        source: (!view.is_own).then(|| api::PolicySource {
            policy_identity: policy.id.clone(),
            project_identity: view.project.id.clone(),
        }),
        identity: policy.id,
        name: policy.name,
        slug: policy.slug,
        description: policy.description,
        labels: policy.labels,
        annotations: policy.annotations,
        system: policy.system,
        is_read_only: policy.system || !view.is_own,
        replicate_to_children: policy.replicate,
        conditionals: policy.conditionals,
        rules: rules.map(|rules| rules.into_iter().map(rule).collect()),
        bindings: bindings.map(|bindings| bindings.into_iter().map(policy_binding).collect()),
        project: project_name(&view.project),
        created_at: time(policy.created_at),
        updated_at: time(policy.updated_at),
        object_version: policy.object_version,
    }
}

pub fn policy_binding(bound: PolicyBinding) -> api::PolicyBinding {
    let binding = bound.binding;
    let (user, team, service_account) = holder(binding.holder);
    api::PolicyBinding {
        identity: binding.id,
        slug: api::slug_of(&binding.name),
        name: binding.name,
        description: binding.description,
        labels: binding.labels,
        annotations: binding.annotations,
        policy_identity: bound.policy,
        expires_at: bound.expires_at.map(time),
        access_elevation_identity: Some(bound.elevation).filter(|id| !id.is_empty()),
        created_at: time(binding.created_at),
        updated_at: time(bound.updated_at),
        user,
        team,
        service_account,
    }
}

pub fn policy_member(member: Member) -> api::PolicyMember {
    let (kind, id) = member.holder.kind_and_id();
    let (kind, id) = (kind.to_owned(), id.to_owned());
    let (user, team, service_account) = holder(member.holder);
    let bindings = member.bindings.into_iter().map(|(policy, bound)| api::PolicyMemberBinding {
        source: "iam_policy".to_owned(),
        policy_identity: policy.id,
        policy_name: policy.name,
        binding_identity: bound.binding.id,
        expires_at: bound.expires_at.map(time),
    });
    api::PolicyMember {
        principal_type: kind,
        principal_identity: id,
        user,
        team,
        service_account,
        bindings: bindings.collect(),
    }
}

pub fn access(asked: &AccessQuery, found: Vec<Access>) -> api::AccessBindings {
    let binding = |access: Access| api::AccessBinding {
        resource_type: asked.resource.clone(),
        binding_type: access.kind.to_owned(),
        binding_identity: access.binding,
        policy_identity: access.of,
        principal_type: access.principal.0.to_owned(),
        principal_identity: access.principal.1,
        permissions: access.permissions,
    };
    api::AccessBindings {
        resource_identity: asked.identity.clone(),
        bindings: found.into_iter().map(binding).collect(),
    }
}

pub fn elevation(elevation: Elevation, now: i64) -> api::Elevation {
    api::Elevation {
        status: elevation.status_at(now).word().to_owned(),
        identity: elevation.id,
        policy_identity: elevation.policy,
        project_identity: elevation.project,
        principal_type: elevation.principal.0,
        principal_identity: elevation.principal.1,
        reason: elevation.reason,
        labels: elevation.labels,
        annotations: elevation.annotations,
        requested_expires_at: time(elevation.expires_at),
        reviewed_by: elevation.reviewed_by,
        review_note: elevation.review_note,
        created_at: time(elevation.created_at),
        updated_at: time(elevation.updated_at),
    }
}
