-- Identity and access over HTTP: tokens with scopes; roles, rules, bindings
-- and teams with all their fields; service accounts and their credentials.

ALTER TABLE personal_access_tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '[]';
ALTER TABLE personal_access_tokens ADD COLUMN last_used_at BIGINT;
CREATE INDEX personal_access_tokens_by_subject ON personal_access_tokens (subject, token_id);

ALTER TABLE roles ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE roles ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE roles ADD COLUMN annotations TEXT NOT NULL DEFAULT '{}';
ALTER TABLE roles ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE roles ADD COLUMN object_version BIGINT NOT NULL DEFAULT 1;
UPDATE roles SET updated_at = created_at;

ALTER TABLE role_rules ADD COLUMN note TEXT NOT NULL DEFAULT '';

ALTER TABLE role_bindings ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE role_bindings ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE role_bindings ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE role_bindings ADD COLUMN annotations TEXT NOT NULL DEFAULT '{}';
-- A JSON array of words; empty means no restriction.
ALTER TABLE role_bindings ADD COLUMN scopes TEXT NOT NULL DEFAULT '[]';
CREATE INDEX role_bindings_by_role ON role_bindings (organisation_id, role_id);

ALTER TABLE teams ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE teams ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE teams ADD COLUMN annotations TEXT NOT NULL DEFAULT '{}';
ALTER TABLE teams ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
UPDATE teams SET updated_at = created_at;
-- `OWNER`, `ADMIN` or `MEMBER` of the team; it grants nothing.
ALTER TABLE team_members ADD COLUMN role TEXT NOT NULL DEFAULT 'MEMBER';

CREATE TABLE service_accounts (
    organisation_id TEXT NOT NULL REFERENCES organisations (organisation_id),
    account_id TEXT NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    object_version BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, account_id),
    UNIQUE (organisation_id, slug)
);

-- Only the SHA-256 of `<access key>:<access secret>` is kept.
CREATE TABLE access_credentials (
    credential_hash BYTEA NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    credential_id TEXT NOT NULL UNIQUE,
    access_key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    FOREIGN KEY (organisation_id, account_id)
        REFERENCES service_accounts (organisation_id, account_id)
);
CREATE INDEX access_credentials_by_account
    ON access_credentials (organisation_id, account_id, credential_id);
