-- Background work. due_at: from when a waiting job may run, until when a running one is leased; null once it has ended.
CREATE TABLE jobs (
    id BLOB NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    state SMALLINT NOT NULL,
    attempts INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    fence BIGINT NOT NULL,
    progress DOUBLE,
    error TEXT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    due_at BIGINT,
    worker TEXT,
    single_key TEXT CONSTRAINT jobs_single_key_key UNIQUE
) WITHOUT ROWID;
CREATE INDEX jobs_due_at_idx ON jobs (due_at, id, kind);
CREATE INDEX jobs_state_idx ON jobs (state, id);
CREATE INDEX jobs_kind_idx ON jobs (kind, id);
CREATE INDEX jobs_finished_at_idx ON jobs (finished_at);

-- The likes of a deleted account outlive it until a job has taken them back, together with their counts.
CREATE TABLE likes_anew (
    post_id BLOB NOT NULL CONSTRAINT likes_post_id_fkey REFERENCES posts (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT likes_pkey PRIMARY KEY (post_id, user_id)
) WITHOUT ROWID;
INSERT INTO likes_anew (post_id, user_id, created_at) SELECT post_id, user_id, created_at FROM likes;
DROP TABLE likes;
ALTER TABLE likes_anew RENAME TO likes;
CREATE INDEX likes_user_id_idx ON likes (user_id);

CREATE INDEX sign_in_sessions_expires_at_idx ON sign_in_sessions (expires_at);
CREATE INDEX refresh_tokens_expires_at_idx ON refresh_tokens (expires_at);
CREATE INDEX sign_in_addresses_signed_in_at_idx ON sign_in_addresses (signed_in_at);
