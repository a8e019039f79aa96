ALTER TABLE posts
    ADD COLUMN number BIGINT NOT NULL AUTO_INCREMENT,
    ADD CONSTRAINT posts_number_key UNIQUE (number),
    ADD COLUMN view_count INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN like_count INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN changed_at BIGINT NOT NULL DEFAULT 0,
    MODIFY COLUMN comment_count INTEGER NOT NULL DEFAULT 0;
UPDATE posts SET changed_at = coalesce(updated_at, created_at);
ALTER TABLE posts
    ALTER COLUMN changed_at DROP DEFAULT,
    ADD INDEX posts_changed_at_idx (changed_at, id),
    ADD INDEX posts_view_count_idx (view_count, id),
    ADD INDEX posts_like_count_idx (like_count, id),
    ADD INDEX posts_comment_count_idx (comment_count, id),
    ADD INDEX posts_board_id_changed_at_idx (board_id, changed_at, id),
    ADD INDEX posts_board_id_view_count_idx (board_id, view_count, id),
    ADD INDEX posts_board_id_like_count_idx (board_id, like_count, id),
    ADD INDEX posts_board_id_comment_count_idx (board_id, comment_count, id);

CREATE TABLE likes (
    post_id BINARY(16) NOT NULL,
    user_id BINARY(16) NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (post_id, user_id),
    INDEX likes_user_id_idx (user_id),
    CONSTRAINT likes_post_id_fkey FOREIGN KEY (post_id) REFERENCES posts (id) ON DELETE CASCADE,
    CONSTRAINT likes_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
