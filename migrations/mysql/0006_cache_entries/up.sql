-- What the cache of this process must not forget when it is restarted.
CREATE TABLE IF NOT EXISTS cache_entries (
    name VARCHAR(700) NOT NULL,
    kind SMALLINT NOT NULL,
    number BIGINT NOT NULL,
    value MEDIUMBLOB,
    expires_at BIGINT,
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
