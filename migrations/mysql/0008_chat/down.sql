DROP TABLE chat_invitations;
DROP TABLE chat_participants;
DROP TABLE chat_sessions;
