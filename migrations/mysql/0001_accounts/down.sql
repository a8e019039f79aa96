DROP TABLE refresh_tokens;
DROP TABLE sign_in_sessions;
DROP TABLE users;
