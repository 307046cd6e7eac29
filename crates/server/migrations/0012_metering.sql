-- Versions of secrets that were deleted, for metering: from when until when each was stored.
CREATE TABLE ended_versions (
    organisation_id TEXT NOT NULL,
    secret_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    region_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, secret_id, version)
);
