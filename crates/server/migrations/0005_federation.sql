-- Access tokens and whom they are given to: the key that signs them, issuers of other tokens, and
-- which of those tokens stand for a service account.

-- The key is wrapped by a root key. There is one, made when it is first needed.
CREATE TABLE signing_keys (
    purpose TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL UNIQUE,
    root_key TEXT NOT NULL,
    wrapped_material BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE identity_providers (
    organisation_id TEXT NOT NULL REFERENCES organisations (organisation_id),
    provider_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    issuer TEXT NOT NULL,
    -- Empty where the issuer says it itself.
    jwks_uri TEXT NOT NULL,
    -- JSON of the keys that were given, absent where they are fetched.
    local_jwks TEXT,
    status TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    object_version BIGINT NOT NULL,
    -- Grows with each change that ends the tokens given out before it.
    generation BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (organisation_id, provider_id),
    UNIQUE (organisation_id, issuer)
);

CREATE TABLE federated_identities (
    organisation_id TEXT NOT NULL,
    identity_id TEXT NOT NULL UNIQUE,
    account_id TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    -- A pattern of the token's `sub`.
    subject TEXT NOT NULL,
    -- JSON arrays of texts, and a JSON object.
    audiences TEXT NOT NULL,
    audience_mode TEXT NOT NULL,
    scopes TEXT NOT NULL,
    conditions TEXT NOT NULL,
    status TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    object_version BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    generation BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (organisation_id, identity_id),
    FOREIGN KEY (organisation_id, account_id)
        REFERENCES service_accounts (organisation_id, account_id),
    FOREIGN KEY (organisation_id, provider_id)
        REFERENCES identity_providers (organisation_id, provider_id)
);
CREATE INDEX federated_identities_by_account
    ON federated_identities (organisation_id, account_id, provider_id);
CREATE INDEX federated_identities_by_provider
    ON federated_identities (organisation_id, provider_id, identity_id);
