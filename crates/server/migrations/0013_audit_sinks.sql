-- About when a stream went on: the newest of the records that came last, in steps of ten seconds, so that the index is
-- seldom written. Whoever sends records on looks at those streams alone that went on lately.
ALTER TABLE audit_heads ADD COLUMN moved_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX audit_heads_by_move ON audit_heads (moved_at);

-- Up to where each sink was given a stream. What is behind a base needs none.
CREATE TABLE audit_sink_positions (
    organisation_id TEXT NOT NULL,
    stream BIGINT NOT NULL,
    sink TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, stream, sink)
);

-- Which of several servers gives a sink its records, and until when at the least.
CREATE TABLE audit_sinks (
    sink TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    held_until BIGINT NOT NULL
);
