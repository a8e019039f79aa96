-- Made anew, since a column that is added stands behind the content, which lists are read without. The number is the
-- rowid under a name of its own: one without a name may change when the file is vacuumed.
CREATE TABLE posts_anew (
    number INTEGER NOT NULL CONSTRAINT posts_number_key PRIMARY KEY,
    id BLOB NOT NULL CONSTRAINT posts_pkey UNIQUE,
    board_id BLOB NOT NULL CONSTRAINT posts_board_id_fkey REFERENCES boards (id) ON DELETE CASCADE,
    author_id BLOB CONSTRAINT posts_author_id_fkey REFERENCES users (id) ON DELETE SET NULL,
    title TEXT NOT NULL,
    is_visible BOOLEAN NOT NULL,
    view_count INTEGER NOT NULL DEFAULT 0,
    like_count INTEGER NOT NULL DEFAULT 0,
    comment_count INTEGER NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    changed_at BIGINT NOT NULL,
    content TEXT NOT NULL
);
INSERT INTO posts_anew (id, board_id, author_id, title, is_visible, comment_count, created_at, updated_at, changed_at, content)
SELECT id, board_id, author_id, title, is_visible, comment_count, created_at, updated_at, coalesce(updated_at, created_at), content
FROM posts ORDER BY id;
DROP TABLE posts;
ALTER TABLE posts_anew RENAME TO posts;
CREATE INDEX posts_board_id_idx ON posts (board_id, id);
CREATE INDEX posts_author_id_idx ON posts (author_id, id);
CREATE INDEX posts_changed_at_idx ON posts (changed_at, id);
CREATE INDEX posts_view_count_idx ON posts (view_count, id);
CREATE INDEX posts_like_count_idx ON posts (like_count, id);
CREATE INDEX posts_comment_count_idx ON posts (comment_count, id);
CREATE INDEX posts_board_id_changed_at_idx ON posts (board_id, changed_at, id);
CREATE INDEX posts_board_id_view_count_idx ON posts (board_id, view_count, id);
CREATE INDEX posts_board_id_like_count_idx ON posts (board_id, like_count, id);
CREATE INDEX posts_board_id_comment_count_idx ON posts (board_id, comment_count, id);

CREATE TABLE likes (
    post_id BLOB NOT NULL CONSTRAINT likes_post_id_fkey REFERENCES posts (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL CONSTRAINT likes_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    CONSTRAINT likes_pkey PRIMARY KEY (post_id, user_id)
) WITHOUT ROWID;
CREATE INDEX likes_user_id_idx ON likes (user_id);
