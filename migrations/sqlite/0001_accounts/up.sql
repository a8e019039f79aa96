CREATE TABLE users (
    id BLOB NOT NULL CONSTRAINT users_pkey PRIMARY KEY,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    role SMALLINT NOT NULL,
    is_banned BOOLEAN NOT NULL,
    ban_reason TEXT,
    joined_at BIGINT NOT NULL,
    updated_at BIGINT,
    CONSTRAINT users_name_key_key UNIQUE (name_key),
    CONSTRAINT users_email_key_key UNIQUE (email_key)
) WITHOUT ROWID;
CREATE INDEX users_role_idx ON users (role);

CREATE TABLE sign_in_sessions (
    id BLOB NOT NULL CONSTRAINT sign_in_sessions_pkey PRIMARY KEY,
    user_id BLOB NOT NULL CONSTRAINT sign_in_sessions_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    user_agent TEXT,
    ip TEXT
) WITHOUT ROWID;
CREATE INDEX sign_in_sessions_user_id_idx ON sign_in_sessions (user_id, last_used_at);

CREATE TABLE refresh_tokens (
    hash BLOB NOT NULL CONSTRAINT refresh_tokens_pkey PRIMARY KEY,
    session_id BLOB NOT NULL CONSTRAINT refresh_tokens_session_id_fkey REFERENCES sign_in_sessions (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL,
    rotated_at BIGINT
) WITHOUT ROWID;
CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id);
