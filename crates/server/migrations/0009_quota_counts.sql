-- What is used of a quota is the sum of its slots: each writer counts in a slot of its own, so that none waits for
-- another one's row. They change in the transaction that makes or deletes what they count.
CREATE TABLE quota_counts (
    organisation_id TEXT NOT NULL,
    name TEXT NOT NULL,
    slot BIGINT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, name, slot),
    FOREIGN KEY (organisation_id, name) REFERENCES quotas (organisation_id, name)
);
INSERT INTO quota_counts (organisation_id, name, slot, used)
    SELECT organisation_id, name, 0, used FROM quotas;
ALTER TABLE quotas DROP COLUMN used;
