-- Every key type, import, the lifecycle to its end, and root keys that can be replaced.

ALTER TABLE kms_keys ADD COLUMN digest TEXT NOT NULL DEFAULT '';
ALTER TABLE kms_keys ADD COLUMN imported BIGINT NOT NULL DEFAULT 0;
ALTER TABLE kms_keys ADD COLUMN allow_rotation BIGINT NOT NULL DEFAULT 0;

-- A key that waits for its deletion, or is deleted, has let its slug go.
DROP INDEX kms_keys_by_slug;
CREATE UNIQUE INDEX kms_keys_by_slug
    ON kms_keys (organisation_id, region_id, project_id, slug) WHERE deletion_scheduled_at IS NULL;

-- What the clock looks for.
CREATE INDEX kms_keys_by_deletion ON kms_keys (key_id) WHERE status = 'pending_deletion';
CREATE INDEX kms_keys_by_rotation ON kms_keys (key_id)
    WHERE status = 'active' AND rotation_enabled = 1;

-- How many seals the version may have made, counted before they are made. Those of before were not counted:
-- taken for sixteen million.
ALTER TABLE kms_key_versions ADD COLUMN seals BIGINT NOT NULL DEFAULT 0;
UPDATE kms_key_versions SET seals = 16777216;
CREATE INDEX kms_key_versions_by_seals ON kms_key_versions (seals) WHERE seals >= 1073741824;

-- The fingerprint of the root key that wraps the material. Until now a store had one, and named it in `meta`.
ALTER TABLE kms_key_versions ADD COLUMN root_key TEXT NOT NULL DEFAULT '';
UPDATE kms_key_versions
    SET root_key = COALESCE((SELECT value FROM meta WHERE name = 'root_key'), '');
DELETE FROM meta WHERE name = 'root_key';
CREATE INDEX kms_key_versions_by_root_key ON kms_key_versions (root_key)
    WHERE wrapped_material IS NOT NULL;

CREATE TABLE wrapping_keys (
    region_id TEXT NOT NULL PRIMARY KEY REFERENCES regions (region_id),
    root_key TEXT NOT NULL,
    wrapped_material BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
