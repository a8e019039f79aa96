-- Where an account signed in from: such an address is not locked out by the guesses of others.
CREATE TABLE sign_in_addresses (
    user_id BINARY(16) NOT NULL,
    network VARCHAR(45) NOT NULL,
    signed_in_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, network),
    CONSTRAINT sign_in_addresses_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
