CREATE TABLE users (
    id BINARY(16) NOT NULL,
    name VARCHAR(64) NOT NULL,
    name_key VARCHAR(64) NOT NULL,
    email VARCHAR(256) NOT NULL,
    email_key VARCHAR(512) NOT NULL,
    password_hash VARCHAR(256) NOT NULL,
    role SMALLINT NOT NULL,
    is_banned BOOLEAN NOT NULL,
    ban_reason VARCHAR(512),
    joined_at BIGINT NOT NULL,
    updated_at BIGINT,
    PRIMARY KEY (id),
    CONSTRAINT users_name_key_key UNIQUE (name_key),
    CONSTRAINT users_email_key_key UNIQUE (email_key),
    INDEX users_role_idx (role)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE sign_in_sessions (
    id BINARY(16) NOT NULL,
    user_id BINARY(16) NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    user_agent VARCHAR(512),
    ip VARCHAR(45),
    PRIMARY KEY (id),
    INDEX sign_in_sessions_user_id_idx (user_id, last_used_at),
    CONSTRAINT sign_in_sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE refresh_tokens (
    hash BINARY(32) NOT NULL,
    session_id BINARY(16) NOT NULL,
    expires_at BIGINT NOT NULL,
    rotated_at BIGINT,
    PRIMARY KEY (hash),
    INDEX refresh_tokens_session_id_idx (session_id),
    CONSTRAINT refresh_tokens_session_id_fkey FOREIGN KEY (session_id) REFERENCES sign_in_sessions (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
