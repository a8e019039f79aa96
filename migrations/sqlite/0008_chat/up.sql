-- Chat sessions. What is said in them is in documents. direct_key: the ids of the two users of a direct chat.
-- people_rev: grows whenever somebody loses the right to read.
CREATE TABLE chat_sessions (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    information TEXT NOT NULL,
    creator_id BLOB CONSTRAINT chat_sessions_creator_id_fkey REFERENCES users (id) ON DELETE SET NULL,
    is_visible BOOLEAN NOT NULL,
    is_closed BOOLEAN NOT NULL,
    direct_key BLOB CONSTRAINT chat_sessions_direct_key_key UNIQUE,
    participant_count INTEGER NOT NULL,
    people_rev INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    last_activity_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX chat_sessions_creator_id_idx ON chat_sessions (creator_id);
CREATE INDEX chat_sessions_open_idx ON chat_sessions (is_closed, last_activity_at, id);
CREATE INDEX chat_sessions_visible_idx ON chat_sessions (is_closed, is_visible, last_activity_at, id);

-- The participations of a deleted account outlive it until a job has ended them, together with their counts.
CREATE TABLE chat_participants (
    session_id BLOB NOT NULL CONSTRAINT chat_participants_session_id_fkey REFERENCES chat_sessions (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL,
    joined_at BIGINT NOT NULL,
    read_seq INTEGER NOT NULL,
    is_hidden BOOLEAN NOT NULL,
    CONSTRAINT chat_participants_pkey PRIMARY KEY (session_id, user_id)
) WITHOUT ROWID;
CREATE INDEX chat_participants_user_id_idx ON chat_participants (user_id, session_id);
CREATE INDEX chat_participants_joined_at_idx ON chat_participants (session_id, joined_at, user_id);

CREATE TABLE chat_invitations (
    session_id BLOB NOT NULL CONSTRAINT chat_invitations_session_id_fkey REFERENCES chat_sessions (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL CONSTRAINT chat_invitations_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    invited_at BIGINT NOT NULL,
    CONSTRAINT chat_invitations_pkey PRIMARY KEY (session_id, user_id)
) WITHOUT ROWID;
CREATE INDEX chat_invitations_user_id_idx ON chat_invitations (user_id, session_id);
