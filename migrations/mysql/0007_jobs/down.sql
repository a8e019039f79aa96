ALTER TABLE sign_in_addresses DROP INDEX sign_in_addresses_signed_in_at_idx;
ALTER TABLE refresh_tokens DROP INDEX refresh_tokens_expires_at_idx;
ALTER TABLE sign_in_sessions DROP INDEX sign_in_sessions_expires_at_idx;
DELETE FROM likes WHERE user_id NOT IN (SELECT id FROM users);
ALTER TABLE likes ADD CONSTRAINT likes_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
DROP TABLE jobs;
