-- When each version was last revealed: narrow rows, because they change more often than all others. A secret was last
-- accessed when the last of its versions was.
CREATE TABLE last_accesses (
    organisation_id TEXT NOT NULL,
    secret_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    accessed_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, secret_id, version)
);
INSERT INTO last_accesses (organisation_id, secret_id, version, accessed_at)
    SELECT organisation_id, secret_id, version, last_accessed_at FROM secret_versions
    WHERE last_accessed_at IS NOT NULL;
ALTER TABLE secret_versions DROP COLUMN last_accessed_at;
ALTER TABLE secrets DROP COLUMN last_accessed_at;
