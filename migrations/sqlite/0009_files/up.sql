-- Files of posts and comments. One without either waits for a job to delete its bytes.
CREATE TABLE files (
    id BLOB NOT NULL CONSTRAINT files_pkey PRIMARY KEY,
    owner_id BLOB CONSTRAINT files_owner_id_fkey REFERENCES users (id) ON DELETE SET NULL,
    post_id BLOB CONSTRAINT files_post_id_fkey REFERENCES posts (id) ON DELETE SET NULL,
    comment_id BLOB CONSTRAINT files_comment_id_fkey REFERENCES comments (id) ON DELETE SET NULL,
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size BIGINT NOT NULL,
    width INTEGER,
    height INTEGER,
    thumbnail_type TEXT,
    created_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX files_owner_id_idx ON files (owner_id);
CREATE INDEX files_post_id_idx ON files (post_id, comment_id, id);
CREATE INDEX files_comment_id_idx ON files (comment_id, id);

-- What the files of a user take, so that a quota is one row to lock.
CREATE TABLE file_usage (
    user_id BLOB NOT NULL CONSTRAINT file_usage_pkey PRIMARY KEY
        CONSTRAINT file_usage_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    bytes BIGINT NOT NULL
) WITHOUT ROWID;
