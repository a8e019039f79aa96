-- A list is read from its visible part, so that what others have hidden is never passed.
DROP INDEX posts_board_id_idx;
CREATE INDEX posts_board_id_idx ON posts (board_id, is_visible, id);
DROP INDEX posts_author_id_idx;
CREATE INDEX posts_author_id_idx ON posts (author_id, is_visible, id);
DROP INDEX posts_board_id_changed_at_idx;
CREATE INDEX posts_board_id_changed_at_idx ON posts (board_id, is_visible, changed_at, id);
DROP INDEX posts_board_id_view_count_idx;
CREATE INDEX posts_board_id_view_count_idx ON posts (board_id, is_visible, view_count, id);
DROP INDEX posts_board_id_like_count_idx;
CREATE INDEX posts_board_id_like_count_idx ON posts (board_id, is_visible, like_count, id);
DROP INDEX posts_board_id_comment_count_idx;
CREATE INDEX posts_board_id_comment_count_idx ON posts (board_id, is_visible, comment_count, id);
DROP INDEX comments_post_id_idx;
CREATE INDEX comments_post_id_idx ON comments (post_id, is_visible, id);
DROP INDEX comments_author_id_idx;
CREATE INDEX comments_author_id_idx ON comments (author_id, is_visible, id);
