ALTER TABLE posts
    DROP INDEX posts_board_id_idx,
    DROP INDEX posts_author_id_idx,
    DROP INDEX posts_board_id_changed_at_idx,
    DROP INDEX posts_board_id_view_count_idx,
    DROP INDEX posts_board_id_like_count_idx,
    DROP INDEX posts_board_id_comment_count_idx,
    ADD INDEX posts_board_id_idx (board_id, id),
    ADD INDEX posts_author_id_idx (author_id, id),
    ADD INDEX posts_board_id_changed_at_idx (board_id, changed_at, id),
    ADD INDEX posts_board_id_view_count_idx (board_id, view_count, id),
    ADD INDEX posts_board_id_like_count_idx (board_id, like_count, id),
    ADD INDEX posts_board_id_comment_count_idx (board_id, comment_count, id);
ALTER TABLE comments
    DROP INDEX comments_post_id_idx,
    DROP INDEX comments_author_id_idx,
    ADD INDEX comments_post_id_idx (post_id, id),
    ADD INDEX comments_author_id_idx (author_id, id);
