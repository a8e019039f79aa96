-- AI models. training numbers the trainings, trained is the one whose model is in use, learned is what it has found, as JSON.
-- state, error and finished_at say how the job ended, which is deleted days later.
CREATE TABLE ai_models (
    id BINARY(16) NOT NULL,
    name VARCHAR(64) NOT NULL,
    name_key VARCHAR(512) NOT NULL,
    description VARCHAR(256) NOT NULL,
    is_visible BOOLEAN NOT NULL,
    is_available BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    dataset_id BINARY(16),
    target VARCHAR(256) NOT NULL,
    test_fraction DOUBLE NOT NULL,
    seed INTEGER NOT NULL,
    training INTEGER NOT NULL,
    trained INTEGER,
    learned MEDIUMTEXT,
    job_id BINARY(16) NOT NULL,
    state SMALLINT,
    error TEXT,
    finished_at BIGINT,
    PRIMARY KEY (id),
    CONSTRAINT ai_models_name_key_key UNIQUE (name_key),
    INDEX ai_models_dataset_id_idx (dataset_id),
    INDEX ai_models_job_id_idx (job_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- What users asked AI models. result: the attempt whose documents are the answer. The logs of a deleted account outlive it
-- until a job has deleted them, together with their documents.
CREATE TABLE ai_logs (
    id BINARY(16) NOT NULL,
    model_id BINARY(16),
    user_id BINARY(16) NOT NULL,
    description VARCHAR(256) NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    dataset_id BINARY(16),
    dataset_size BIGINT,
    result BIGINT,
    job_id BINARY(16) NOT NULL,
    state SMALLINT,
    error TEXT,
    finished_at BIGINT,
    PRIMARY KEY (id),
    INDEX ai_logs_model_id_idx (model_id, id),
    INDEX ai_logs_user_id_idx (user_id, id),
    INDEX ai_logs_user_model_idx (user_id, model_id, id),
    INDEX ai_logs_job_id_idx (job_id),
    INDEX ai_logs_state_idx (state, user_id),
    INDEX ai_logs_dataset_id_idx (dataset_id),
    CONSTRAINT ai_logs_model_id_fkey FOREIGN KEY (model_id) REFERENCES ai_models (id) ON DELETE SET NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
