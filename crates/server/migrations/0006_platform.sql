-- Administrators of the platform, their word on regions, quotas, invites.

-- Only the SHA-256 of a token is kept.
CREATE TABLE administrators (
    token_hash BYTEA NOT NULL PRIMARY KEY,
    administrator_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT
);

-- What the configuration says, what an administrator says (null: nothing); `kms` is what follows from both.
ALTER TABLE regions ADD COLUMN configured BIGINT NOT NULL DEFAULT 1;
ALTER TABLE regions ADD COLUMN kms_configured BIGINT NOT NULL DEFAULT 0;
ALTER TABLE regions ADD COLUMN kms_switch BIGINT;
UPDATE regions SET kms_configured = kms;

-- What the configuration allows an organisation that has no maximum of its own; 0 is no bound.
CREATE TABLE quota_defaults (
    name TEXT NOT NULL PRIMARY KEY,
    most BIGINT NOT NULL
);

-- `used` changes in the transaction that makes or deletes what it counts.
CREATE TABLE quotas (
    organisation_id TEXT NOT NULL REFERENCES organisations (organisation_id),
    name TEXT NOT NULL,
    used BIGINT NOT NULL,
    most BIGINT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, name)
);
INSERT INTO quotas (organisation_id, name, used, created_at)
    SELECT o.organisation_id, 'secrets.count',
        (SELECT COUNT(*) FROM secrets s WHERE s.organisation_id = o.organisation_id), o.created_at
    FROM organisations o;
INSERT INTO quotas (organisation_id, name, used, created_at)
    SELECT o.organisation_id, 'secrets.versions',
        (SELECT COUNT(*) FROM secret_versions v WHERE v.organisation_id = o.organisation_id
            AND v.destroyed_at IS NULL), o.created_at
    FROM organisations o;
INSERT INTO quotas (organisation_id, name, used, created_at)
    SELECT o.organisation_id, 'kms.keys',
        (SELECT COUNT(*) FROM kms_keys k WHERE k.organisation_id = o.organisation_id
            AND k.status <> 'deleted'), o.created_at
    FROM organisations o;
INSERT INTO quotas (organisation_id, name, used, created_at)
    SELECT o.organisation_id, 'iam.service-accounts',
        (SELECT COUNT(*) FROM service_accounts a WHERE a.organisation_id = o.organisation_id),
        o.created_at
    FROM organisations o;

CREATE TABLE quota_increase_requests (
    organisation_id TEXT NOT NULL REFERENCES organisations (organisation_id),
    request_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    new_most BIGINT NOT NULL,
    reason TEXT NOT NULL,
    decision TEXT NOT NULL,
    decision_reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, request_id)
);
CREATE INDEX quota_increase_requests_by_decision ON quota_increase_requests (decision, request_id);

-- Only the SHA-256 of a code is kept. An empty team or role means none.
CREATE TABLE invites (
    organisation_id TEXT NOT NULL REFERENCES organisations (organisation_id),
    invite_id TEXT NOT NULL,
    code_hash BYTEA NOT NULL UNIQUE,
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    inviter_kind TEXT NOT NULL,
    inviter_id TEXT NOT NULL,
    team_id TEXT NOT NULL,
    role_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, invite_id)
);
