-- Background work. due_at: from when a waiting job may run, until when a running one is leased, null once it has ended.
CREATE TABLE jobs (
    id BINARY(16) NOT NULL,
    kind VARCHAR(64) NOT NULL,
    payload MEDIUMTEXT NOT NULL,
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
    worker VARCHAR(128),
    single_key VARCHAR(64),
    PRIMARY KEY (id),
    CONSTRAINT jobs_single_key_key UNIQUE (single_key),
    INDEX jobs_due_at_idx (due_at, id, kind),
    INDEX jobs_state_idx (state, id),
    INDEX jobs_kind_idx (kind, id),
    INDEX jobs_finished_at_idx (finished_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
-- The likes of a deleted account outlive it until a job has taken them back, together with their counts.
ALTER TABLE likes DROP FOREIGN KEY likes_user_id_fkey;
ALTER TABLE sign_in_sessions ADD INDEX sign_in_sessions_expires_at_idx (expires_at);
ALTER TABLE refresh_tokens ADD INDEX refresh_tokens_expires_at_idx (expires_at);
ALTER TABLE sign_in_addresses ADD INDEX sign_in_addresses_signed_in_at_idx (signed_in_at);
