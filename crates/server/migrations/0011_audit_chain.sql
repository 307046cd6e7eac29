-- Records form chains. A writer numbers those of each organisation in a stream of its own, from 1 and without a gap, and
-- links each to the one before it. Records of before have no stream.
ALTER TABLE audit_events ADD COLUMN stream BIGINT;
ALTER TABLE audit_events ADD COLUMN number BIGINT;
ALTER TABLE audit_events ADD COLUMN link BYTEA;
CREATE UNIQUE INDEX audit_events_in_stream ON audit_events (organisation_id, stream, number);

-- Where each stream ends, sealed with the key of the chains. Written with each commit by the stream's only writer.
CREATE TABLE audit_heads (
    organisation_id TEXT NOT NULL,
    stream BIGINT NOT NULL,
    number BIGINT NOT NULL,
    link BYTEA NOT NULL,
    seal BYTEA NOT NULL,
    PRIMARY KEY (organisation_id, stream)
);

-- The last record of a stream that was dropped because it was old, sealed likewise.
CREATE TABLE audit_bases (
    organisation_id TEXT NOT NULL,
    stream BIGINT NOT NULL,
    number BIGINT NOT NULL,
    link BYTEA NOT NULL,
    seal BYTEA NOT NULL,
    PRIMARY KEY (organisation_id, stream)
);

-- All heads that have moved since the checkpoint before, signed together with the digest of that one. Checkpoints are
-- stream 0: its head is the last one, with its digest as the link.
CREATE TABLE audit_checkpoints (
    organisation_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    link BYTEA NOT NULL,
    key_id TEXT NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (organisation_id, number)
);
CREATE TABLE audit_checkpoint_heads (
    organisation_id TEXT NOT NULL,
    stream BIGINT NOT NULL,
    number BIGINT NOT NULL,
    checkpoint BIGINT NOT NULL,
    link BYTEA NOT NULL,
    PRIMARY KEY (organisation_id, stream, number, checkpoint)
);
