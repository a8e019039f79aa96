-- Files of posts and comments. One without either waits for a job to delete its bytes.
CREATE TABLE files (
    id BINARY(16) NOT NULL,
    owner_id BINARY(16),
    post_id BINARY(16),
    comment_id BINARY(16),
    name VARCHAR(255) NOT NULL,
    content_type VARCHAR(127) NOT NULL,
    size BIGINT NOT NULL,
    width INTEGER,
    height INTEGER,
    thumbnail_type VARCHAR(127),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (id),
    INDEX files_owner_id_idx (owner_id),
    INDEX files_post_id_idx (post_id, comment_id, id),
    INDEX files_comment_id_idx (comment_id, id),
    CONSTRAINT files_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users (id) ON DELETE SET NULL,
    CONSTRAINT files_post_id_fkey FOREIGN KEY (post_id) REFERENCES posts (id) ON DELETE SET NULL,
    CONSTRAINT files_comment_id_fkey FOREIGN KEY (comment_id) REFERENCES comments (id) ON DELETE SET NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- What the files of a user take, so that a quota is one row to lock.
CREATE TABLE file_usage (
    user_id BINARY(16) NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (user_id),
    CONSTRAINT file_usage_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
