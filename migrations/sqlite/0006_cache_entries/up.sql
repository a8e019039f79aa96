-- What the cache of this process must not forget when it is restarted.
CREATE TABLE cache_entries (
    name TEXT NOT NULL PRIMARY KEY,
    kind SMALLINT NOT NULL,
    number BIGINT NOT NULL,
    value BLOB,
    expires_at BIGINT
) WITHOUT ROWID;
