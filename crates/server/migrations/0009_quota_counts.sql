-- What is used of a quota is the sum of its slots: each writer counts in a slot of its own, so that none waits for
-- another one's row. They change in the transaction that makes or deletes what they count. Up to `granted` a slot may
-- be used without a look at the others, as long as there may be `granted_for` of all.
CREATE TABLE quota_counts (
    organisation_id TEXT NOT NULL,
    name TEXT NOT NULL,
    slot BIGINT NOT NULL,
    used BIGINT NOT NULL,
    granted BIGINT NOT NULL,
    granted_for BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, name, slot),
    FOREIGN KEY (organisation_id, name) REFERENCES quotas (organisation_id, name)
);
INSERT INTO quota_counts (organisation_id, name, slot, used, granted, granted_for)
    SELECT organisation_id, name, 0, used, 0, 0 FROM quotas;
ALTER TABLE quotas DROP COLUMN used;
