-- AI models. training numbers the trainings, trained is the one whose model is in use, learned is what it has found, as JSON.
-- state, error and finished_at say how the job ended, which is deleted days later.
CREATE TABLE ai_models (
    id BLOB NOT NULL CONSTRAINT ai_models_pkey PRIMARY KEY,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL CONSTRAINT ai_models_name_key_key UNIQUE,
    description TEXT NOT NULL,
    is_visible BOOLEAN NOT NULL,
    is_available BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    dataset_id BLOB,
    target TEXT NOT NULL,
    test_fraction DOUBLE NOT NULL,
    seed INTEGER NOT NULL,
    training INTEGER NOT NULL,
    trained INTEGER,
    learned TEXT,
    job_id BLOB NOT NULL,
    state SMALLINT,
    error TEXT,
    finished_at BIGINT
) WITHOUT ROWID;
CREATE INDEX ai_models_dataset_id_idx ON ai_models (dataset_id);
CREATE INDEX ai_models_job_id_idx ON ai_models (job_id);

-- What users asked AI models. result: the attempt whose documents are the answer. The logs of a deleted account outlive it
-- until a job has deleted them, together with their documents.
CREATE TABLE ai_logs (
    id BLOB NOT NULL CONSTRAINT ai_logs_pkey PRIMARY KEY,
    model_id BLOB CONSTRAINT ai_logs_model_id_fkey REFERENCES ai_models (id) ON DELETE SET NULL,
    user_id BLOB NOT NULL,
    description TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    dataset_id BLOB,
    dataset_size BIGINT,
    result BIGINT,
    job_id BLOB NOT NULL,
    state SMALLINT,
    error TEXT,
    finished_at BIGINT
) WITHOUT ROWID;
CREATE INDEX ai_logs_model_id_idx ON ai_logs (model_id, id);
CREATE INDEX ai_logs_user_id_idx ON ai_logs (user_id, id);
CREATE INDEX ai_logs_user_model_idx ON ai_logs (user_id, model_id, id);
CREATE INDEX ai_logs_job_id_idx ON ai_logs (job_id);
CREATE INDEX ai_logs_state_idx ON ai_logs (state, user_id);
CREATE INDEX ai_logs_dataset_id_idx ON ai_logs (dataset_id);
