CREATE TABLE boards (
    id BLOB NOT NULL CONSTRAINT boards_pkey PRIMARY KEY,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    information TEXT NOT NULL,
    is_visible BOOLEAN NOT NULL,
    is_available BOOLEAN NOT NULL,
    post_count INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    CONSTRAINT boards_name_key_key UNIQUE (name_key)
) WITHOUT ROWID;

CREATE TABLE board_grants (
    board_id BLOB NOT NULL CONSTRAINT board_grants_board_id_fkey REFERENCES boards (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL CONSTRAINT board_grants_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    granted_at BIGINT NOT NULL,
    CONSTRAINT board_grants_pkey PRIMARY KEY (board_id, user_id)
) WITHOUT ROWID;
CREATE INDEX board_grants_user_id_idx ON board_grants (user_id);
CREATE INDEX board_grants_granted_at_idx ON board_grants (board_id, granted_at, user_id);

-- With a rowid, since long contents would make a tree that is ordered by a 16 byte key slow to walk; the content stands
-- last, so that what a list shows is read without it.
CREATE TABLE posts (
    id BLOB NOT NULL CONSTRAINT posts_pkey PRIMARY KEY,
    board_id BLOB NOT NULL CONSTRAINT posts_board_id_fkey REFERENCES boards (id) ON DELETE CASCADE,
    author_id BLOB CONSTRAINT posts_author_id_fkey REFERENCES users (id) ON DELETE SET NULL,
    title TEXT NOT NULL,
    is_visible BOOLEAN NOT NULL,
    comment_count INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    content TEXT NOT NULL
);
CREATE INDEX posts_board_id_idx ON posts (board_id, id);
CREATE INDEX posts_author_id_idx ON posts (author_id, id);

CREATE TABLE comments (
    id BLOB NOT NULL CONSTRAINT comments_pkey PRIMARY KEY,
    post_id BLOB NOT NULL CONSTRAINT comments_post_id_fkey REFERENCES posts (id) ON DELETE CASCADE,
    author_id BLOB CONSTRAINT comments_author_id_fkey REFERENCES users (id) ON DELETE SET NULL,
    content TEXT NOT NULL,
    is_visible BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT
);
CREATE INDEX comments_post_id_idx ON comments (post_id, id);
CREATE INDEX comments_author_id_idx ON comments (author_id, id);
