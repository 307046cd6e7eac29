-- Projects with all their fields, what their IAM policies grant, and access for a while on request.

ALTER TABLE projects ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE projects ADD COLUMN annotations TEXT NOT NULL DEFAULT '{}';
-- Empty at the top.
ALTER TABLE projects ADD COLUMN parent_id TEXT NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE projects ADD COLUMN object_version BIGINT NOT NULL DEFAULT 1;
UPDATE projects SET updated_at = created_at;
CREATE INDEX projects_by_parent ON projects (organisation_id, parent_id);

-- What a system policy grants stands in the code, as a system role's does. A policy with `replicate` holds in
-- all projects below its own as well. `conditionals` is JSON or NULL.
CREATE TABLE iam_policies (
    organisation_id TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    system BIGINT NOT NULL,
    replicate BIGINT NOT NULL,
    conditionals TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    object_version BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, policy_id),
    UNIQUE (organisation_id, project_id, slug),
    FOREIGN KEY (organisation_id, project_id) REFERENCES projects (organisation_id, project_id)
);

CREATE TABLE policy_rules (
    organisation_id TEXT NOT NULL,
    rule_id TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    resources TEXT NOT NULL,
    resource_identities TEXT NOT NULL,
    permissions TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (organisation_id, rule_id),
    FOREIGN KEY (organisation_id, policy_id) REFERENCES iam_policies (organisation_id, policy_id)
);
CREATE INDEX policy_rules_by_policy ON policy_rules (organisation_id, policy_id);

-- `elevation_id` is empty where nobody asked for it.
CREATE TABLE policy_bindings (
    organisation_id TEXT NOT NULL,
    binding_id TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    principal_kind TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    elevation_id TEXT NOT NULL,
    expires_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, binding_id),
    FOREIGN KEY (organisation_id, policy_id) REFERENCES iam_policies (organisation_id, policy_id)
);
CREATE INDEX policy_bindings_by_policy ON policy_bindings (organisation_id, policy_id);
CREATE INDEX policy_bindings_by_principal
    ON policy_bindings (organisation_id, principal_kind, principal_id);

CREATE TABLE access_elevations (
    organisation_id TEXT NOT NULL,
    elevation_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    principal_kind TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    status TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    reviewed_by TEXT NOT NULL,
    review_note TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, elevation_id),
    FOREIGN KEY (organisation_id, policy_id) REFERENCES iam_policies (organisation_id, policy_id)
);
CREATE INDEX access_elevations_by_project ON access_elevations (organisation_id, project_id, elevation_id);
CREATE INDEX access_elevations_by_policy ON access_elevations (organisation_id, policy_id);

-- Whom the names of teams and service accounts in an access policy meant when it was set: JSON, name to identity.
-- NULL where that was not kept.
ALTER TABLE secrets ADD COLUMN policy_names TEXT;
