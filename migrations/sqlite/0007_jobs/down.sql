DROP INDEX sign_in_addresses_signed_in_at_idx;
DROP INDEX refresh_tokens_expires_at_idx;
DROP INDEX sign_in_sessions_expires_at_idx;
DELETE FROM likes WHERE user_id NOT IN (SELECT id FROM users);
CREATE TABLE likes_anew (
    post_id BLOB NOT NULL CONSTRAINT likes_post_id_fkey REFERENCES posts (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL CONSTRAINT likes_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    CONSTRAINT likes_pkey PRIMARY KEY (post_id, user_id)
) WITHOUT ROWID;
INSERT INTO likes_anew (post_id, user_id, created_at) SELECT post_id, user_id, created_at FROM likes;
DROP TABLE likes;
ALTER TABLE likes_anew RENAME TO likes;
CREATE INDEX likes_user_id_idx ON likes (user_id);
DROP TABLE jobs;
