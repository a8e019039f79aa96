DROP TRIGGER posts_delete_search;
DROP TABLE post_search;
