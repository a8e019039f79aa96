CREATE TABLE boards (
    id BINARY(16) NOT NULL,
    name VARCHAR(128) NOT NULL,
    name_key VARCHAR(512) NOT NULL,
    information VARCHAR(512) NOT NULL,
    is_visible BOOLEAN NOT NULL,
    is_available BOOLEAN NOT NULL,
    post_count INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    PRIMARY KEY (id),
    CONSTRAINT boards_name_key_key UNIQUE (name_key)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE board_grants (
    board_id BINARY(16) NOT NULL,
    user_id BINARY(16) NOT NULL,
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (board_id, user_id),
    INDEX board_grants_user_id_idx (user_id),
    INDEX board_grants_granted_at_idx (board_id, granted_at, user_id),
    CONSTRAINT board_grants_board_id_fkey FOREIGN KEY (board_id) REFERENCES boards (id) ON DELETE CASCADE,
    CONSTRAINT board_grants_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The content stands last, so that what a list shows is read without it.
CREATE TABLE posts (
    id BINARY(16) NOT NULL,
    board_id BINARY(16) NOT NULL,
    author_id BINARY(16),
    title VARCHAR(128) NOT NULL,
    is_visible BOOLEAN NOT NULL,
    comment_count INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    content MEDIUMTEXT NOT NULL,
    PRIMARY KEY (id),
    INDEX posts_board_id_idx (board_id, id),
    INDEX posts_author_id_idx (author_id, id),
    CONSTRAINT posts_board_id_fkey FOREIGN KEY (board_id) REFERENCES boards (id) ON DELETE CASCADE,
    CONSTRAINT posts_author_id_fkey FOREIGN KEY (author_id) REFERENCES users (id) ON DELETE SET NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE comments (
    id BINARY(16) NOT NULL,
    post_id BINARY(16) NOT NULL,
    author_id BINARY(16),
    content TEXT NOT NULL,
    is_visible BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    PRIMARY KEY (id),
    INDEX comments_post_id_idx (post_id, id),
    INDEX comments_author_id_idx (author_id, id),
    CONSTRAINT comments_post_id_fkey FOREIGN KEY (post_id) REFERENCES posts (id) ON DELETE CASCADE,
    CONSTRAINT comments_author_id_fkey FOREIGN KEY (author_id) REFERENCES users (id) ON DELETE SET NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
