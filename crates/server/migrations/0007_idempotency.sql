-- Answers that are kept for whoever asks again with the same idempotency key.

-- The owner stands in `organisation_id`: an organisation, or a principal where a call is about none. Key and request
-- are HMACs under a key of the store's own, in `signing_keys`: neither can be read from its tag.
CREATE TABLE kept_answers (
    organisation_id TEXT NOT NULL,
    key_tag BYTEA NOT NULL,
    request_tag BYTEA NOT NULL,
    outcome TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    object_version BIGINT,
    kib BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, key_tag)
);
CREATE INDEX kept_answers_by_date ON kept_answers (created_at);

-- `kib` changes in the transaction that keeps an answer or drops it.
CREATE TABLE kept_answer_room (
    organisation_id TEXT NOT NULL PRIMARY KEY,
    kib BIGINT NOT NULL
);
