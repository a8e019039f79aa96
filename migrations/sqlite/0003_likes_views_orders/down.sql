DROP TABLE likes;
CREATE TABLE posts_as_before (
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
INSERT INTO posts_as_before SELECT id, board_id, author_id, title, is_visible, comment_count, created_at, updated_at, content
FROM posts ORDER BY id;
DROP TABLE posts;
ALTER TABLE posts_as_before RENAME TO posts;
CREATE INDEX posts_board_id_idx ON posts (board_id, id);
CREATE INDEX posts_author_id_idx ON posts (author_id, id);
