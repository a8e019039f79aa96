DROP TABLE comments;
DROP TABLE posts;
DROP TABLE board_grants;
DROP TABLE boards;
