-- Where an account signed in from: such an address is not locked out by the guesses of others.
CREATE TABLE sign_in_addresses (
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    network TEXT NOT NULL,
    signed_in_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, network)
) WITHOUT ROWID;
