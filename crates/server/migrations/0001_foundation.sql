-- The tables of the foundation. One text for every database: TEXT, BIGINT (also for times, in microseconds
-- since 1970, and for truth, 0 or 1) and BYTEA. The organisation comes first in every tenant's key.
-- An empty project_id means "without a project", so that it can stand in keys.

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE organisations (
    organisation_id TEXT NOT NULL PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    secrets_gate BIGINT NOT NULL,
    kms_gate BIGINT NOT NULL,
    projects_gate BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    object_version BIGINT NOT NULL
);

CREATE TABLE regions (
    region_id TEXT NOT NULL PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    kms BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    object_version BIGINT NOT NULL
);

CREATE TABLE users (
    subject TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Personal access tokens belong to a person, not to an organisation; only the SHA-256 is kept.
CREATE TABLE personal_access_tokens (
    token_hash BYTEA NOT NULL PRIMARY KEY,
    token_id TEXT NOT NULL UNIQUE,
    subject TEXT NOT NULL REFERENCES users (subject),
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);

CREATE TABLE members (
    organisation_id TEXT NOT NULL REFERENCES organisations (organisation_id),
    member_id TEXT NOT NULL,
    subject TEXT NOT NULL REFERENCES users (subject),
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, member_id),
    UNIQUE (organisation_id, subject)
);
CREATE INDEX members_by_subject ON members (subject);

CREATE TABLE projects (
    organisation_id TEXT NOT NULL REFERENCES organisations (organisation_id),
    project_id TEXT NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, project_id),
    UNIQUE (organisation_id, slug)
);

CREATE TABLE teams (
    organisation_id TEXT NOT NULL REFERENCES organisations (organisation_id),
    team_id TEXT NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, team_id),
    UNIQUE (organisation_id, slug)
);

CREATE TABLE team_members (
    organisation_id TEXT NOT NULL,
    team_id TEXT NOT NULL,
    subject TEXT NOT NULL REFERENCES users (subject),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, team_id, subject),
    FOREIGN KEY (organisation_id, team_id) REFERENCES teams (organisation_id, team_id)
);

CREATE INDEX team_members_by_subject ON team_members (organisation_id, subject);

-- What a system role grants stands in the code, under its slug; its row is what bindings point to.
CREATE TABLE roles (
    organisation_id TEXT NOT NULL REFERENCES organisations (organisation_id),
    role_id TEXT NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    system BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, role_id),
    UNIQUE (organisation_id, slug)
);

-- The three lists are JSON arrays of text.
CREATE TABLE role_rules (
    organisation_id TEXT NOT NULL,
    rule_id TEXT NOT NULL,
    role_id TEXT NOT NULL,
    resources TEXT NOT NULL,
    resource_identities TEXT NOT NULL,
    permissions TEXT NOT NULL,
    PRIMARY KEY (organisation_id, rule_id),
    FOREIGN KEY (organisation_id, role_id) REFERENCES roles (organisation_id, role_id)
);
CREATE INDEX role_rules_by_role ON role_rules (organisation_id, role_id);

CREATE TABLE role_bindings (
    organisation_id TEXT NOT NULL,
    binding_id TEXT NOT NULL,
    role_id TEXT NOT NULL,
    principal_kind TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, binding_id),
    FOREIGN KEY (organisation_id, role_id) REFERENCES roles (organisation_id, role_id)
);
CREATE INDEX role_bindings_by_principal
    ON role_bindings (organisation_id, principal_kind, principal_id);

CREATE TABLE kms_keys (
    organisation_id TEXT NOT NULL REFERENCES organisations (organisation_id),
    key_id TEXT NOT NULL,
    region_id TEXT NOT NULL REFERENCES regions (region_id),
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    description TEXT NOT NULL,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    key_type TEXT NOT NULL,
    status TEXT NOT NULL,
    export_allowed BIGINT NOT NULL,
    rotation_enabled BIGINT NOT NULL,
    rotation_period_days BIGINT,
    latest_version BIGINT NOT NULL,
    min_decryption_version BIGINT NOT NULL,
    deletion_scheduled_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    object_version BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, key_id)
);
-- A key that waits for its deletion has let its slug go.
CREATE UNIQUE INDEX kms_keys_by_slug
    ON kms_keys (organisation_id, region_id, project_id, slug) WHERE status <> 'pending_deletion';
CREATE INDEX kms_keys_by_scope ON kms_keys (organisation_id, region_id, project_id, key_id);

CREATE TABLE kms_key_versions (
    organisation_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    status TEXT NOT NULL,
    wrapped_material BYTEA,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, key_id, version),
    FOREIGN KEY (organisation_id, key_id) REFERENCES kms_keys (organisation_id, key_id)
);

CREATE TABLE secrets (
    organisation_id TEXT NOT NULL,
    region_id TEXT NOT NULL REFERENCES regions (region_id),
    project_id TEXT NOT NULL,
    path TEXT NOT NULL,
    secret_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    description TEXT NOT NULL,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    access_policy TEXT,
    current_version BIGINT NOT NULL,
    latest_version BIGINT NOT NULL,
    object_version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_accessed_at BIGINT,
    PRIMARY KEY (organisation_id, region_id, project_id, path),
    UNIQUE (organisation_id, secret_id),
    FOREIGN KEY (organisation_id, key_id) REFERENCES kms_keys (organisation_id, key_id)
);

-- A destroyed version keeps its row; its sealed value and its data key are gone.
CREATE TABLE secret_versions (
    organisation_id TEXT NOT NULL,
    secret_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    format TEXT NOT NULL,
    key_version BIGINT NOT NULL,
    wrapped_data_key BYTEA,
    sealed_value BYTEA,
    created_at BIGINT NOT NULL,
    destroyed_at BIGINT,
    last_accessed_at BIGINT,
    PRIMARY KEY (organisation_id, secret_id, version),
    FOREIGN KEY (organisation_id, secret_id) REFERENCES secrets (organisation_id, secret_id)
);

CREATE TABLE audit_events (
    organisation_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    principal_kind TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    action TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    credential_id TEXT NOT NULL,
    credential_kind TEXT NOT NULL,
    client TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    method TEXT NOT NULL,
    url_path TEXT NOT NULL,
    request_id TEXT NOT NULL,
    duration BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, at, event_id)
);
