CREATE TABLE post_search (
    number BIGINT NOT NULL,
    terms MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (number),
    FULLTEXT INDEX post_search_terms_idx (terms),
    CONSTRAINT post_search_number_fkey FOREIGN KEY (number) REFERENCES posts (number) ON DELETE CASCADE
) ENGINE = InnoDB;
