-- Chat sessions. What is said in them is in documents. direct_key: the ids of the two users of a direct chat.
-- people_rev: grows whenever somebody loses the right to read.
CREATE TABLE chat_sessions (
    id BINARY(16) NOT NULL,
    name VARCHAR(64) NOT NULL,
    name_key VARCHAR(512) NOT NULL,
    information VARCHAR(256) NOT NULL,
    creator_id BINARY(16),
    is_visible BOOLEAN NOT NULL,
    is_closed BOOLEAN NOT NULL,
    direct_key VARBINARY(32),
    participant_count INTEGER NOT NULL,
    people_rev INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    last_activity_at BIGINT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT chat_sessions_direct_key_key UNIQUE (direct_key),
    INDEX chat_sessions_creator_id_idx (creator_id),
    INDEX chat_sessions_open_idx (is_closed, last_activity_at, id),
    INDEX chat_sessions_visible_idx (is_closed, is_visible, last_activity_at, id),
    CONSTRAINT chat_sessions_creator_id_fkey FOREIGN KEY (creator_id) REFERENCES users (id) ON DELETE SET NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The participations of a deleted account outlive it until a job has ended them, together with their counts.
CREATE TABLE chat_participants (
    session_id BINARY(16) NOT NULL,
    user_id BINARY(16) NOT NULL,
    joined_at BIGINT NOT NULL,
    read_seq INTEGER NOT NULL,
    is_hidden BOOLEAN NOT NULL,
    PRIMARY KEY (session_id, user_id),
    INDEX chat_participants_user_id_idx (user_id, session_id),
    INDEX chat_participants_joined_at_idx (session_id, joined_at, user_id),
    CONSTRAINT chat_participants_session_id_fkey FOREIGN KEY (session_id) REFERENCES chat_sessions (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE chat_invitations (
    session_id BINARY(16) NOT NULL,
    user_id BINARY(16) NOT NULL,
    invited_at BIGINT NOT NULL,
    PRIMARY KEY (session_id, user_id),
    INDEX chat_invitations_user_id_idx (user_id, session_id),
    CONSTRAINT chat_invitations_session_id_fkey FOREIGN KEY (session_id) REFERENCES chat_sessions (id) ON DELETE CASCADE,
    CONSTRAINT chat_invitations_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
