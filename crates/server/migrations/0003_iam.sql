-- Identity and access over HTTP: tokens with scopes.

ALTER TABLE personal_access_tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '[]';
ALTER TABLE personal_access_tokens ADD COLUMN last_used_at BIGINT;
CREATE INDEX personal_access_tokens_by_subject ON personal_access_tokens (subject, token_id);
