-- A list is read from its visible part, so that what others have hidden is never passed.
ALTER TABLE posts
    DROP INDEX posts_board_id_idx,
    DROP INDEX posts_author_id_idx,
    DROP INDEX posts_board_id_changed_at_idx,
    DROP INDEX posts_board_id_view_count_idx,
    DROP INDEX posts_board_id_like_count_idx,
    DROP INDEX posts_board_id_comment_count_idx,
    ADD INDEX posts_board_id_idx (board_id, is_visible, id),
    ADD INDEX posts_author_id_idx (author_id, is_visible, id),
    ADD INDEX posts_board_id_changed_at_idx (board_id, is_visible, changed_at, id),
    ADD INDEX posts_board_id_view_count_idx (board_id, is_visible, view_count, id),
    ADD INDEX posts_board_id_like_count_idx (board_id, is_visible, like_count, id),
    ADD INDEX posts_board_id_comment_count_idx (board_id, is_visible, comment_count, id);
ALTER TABLE comments
    DROP INDEX comments_post_id_idx,
    DROP INDEX comments_author_id_idx,
    ADD INDEX comments_post_id_idx (post_id, is_visible, id),
    ADD INDEX comments_author_id_idx (author_id, is_visible, id);
