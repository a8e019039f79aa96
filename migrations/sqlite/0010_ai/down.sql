DROP TABLE ai_logs;
DROP TABLE ai_models;
