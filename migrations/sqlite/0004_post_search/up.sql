-- What posts are found by, under their numbers. The terms are kept as an index only: the program makes them again.
CREATE VIRTUAL TABLE post_search USING fts5 (terms, content = '', contentless_delete = 1, detail = 'none', tokenize = 'ascii');

-- Also for posts that go with their board.
CREATE TRIGGER posts_delete_search AFTER DELETE ON posts BEGIN
    DELETE FROM post_search WHERE rowid = old.number;
END;
