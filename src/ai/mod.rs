//! AI models: what admins train from tables of numbers, and what users ask them. Training and answering are jobs; how far
//! they have come is told by the job, as long as it is there.

pub mod dataset;
pub mod graphql;
pub mod jobs;
pub mod live;
pub mod model;
pub mod regression;
pub mod sample;
pub mod store;

use diesel::prelude::*;
use diesel_derive_newtype::DieselNewType;
use serde::{Deserialize, Serialize};

use crate::{
    blobs::{BlobPath, Folder},
    clock::Timestamp,
    db::tables::{ai_logs, ai_models, jobs as job_table},
    error::{Error, Result, Rule},
    ids::{AiLogId, AiModelId, DatasetId, JobId, UserId},
    queue::{JobState, Payload},
    text,
};

/// The most rows of numbers in one question.
pub const MOST_ROWS: usize = 1_000;

/// An AI model.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = ai_models)]
pub struct AiModel {
    pub id: AiModelId,
    #[diesel(embed)]
    pub name: ModelName,
    pub description: Description,
    pub is_visible: bool,
    pub is_available: bool,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    #[diesel(embed)]
    pub settings: Settings,
    /// Numbers the trainings.
    pub training: i32,
    /// The training whose model is in use.
    pub trained: Option<i32>,
    /// See [`AiModel::learned`].
    learned: Option<String>,
    pub job_id: JobId,
    #[diesel(embed)]
    ended: ModelEnded,
    #[diesel(embed)]
    job: Option<AtWork>,
}

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = ai_models, treat_none_as_null = true)]
pub struct Settings {
    /// An uploaded data set, or AI_test.csv.
    pub dataset_id: Option<DatasetId>,
    pub target: Target,
    pub test_fraction: TestFraction,
    pub seed: i32,
}

/// What a training has found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    pub features: Vec<String>,
    pub intercept: f64,
    pub coefficients: Vec<f64>,
    pub rmse: f64,
    pub r2: f64,
    pub train_rows: u64,
    pub test_rows: u64,
}

impl AiModel {
    /// What the training that is in use has found, if any is.
    ///
    /// # Errors
    /// `INTERNAL` when the row is damaged.
    pub fn learned(&self) -> Result<Option<Learned>> {
        let learned = self.learned.as_deref().map(serde_json::from_str);
        learned.transpose().map_err(|error| Error::internal(error))
    }

    /// How far the training that was begun last has come.
    #[must_use]
    pub fn status(&self) -> Status {
        let ModelEnded {
            state,
            error,
            finished_at,
        } = self.ended.clone();
        Status::of(self.job.clone(), (state, error, finished_at))
    }
}

/// What a user asked a model.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = ai_logs)]
pub struct AiLog {
    pub id: AiLogId,
    pub model_id: Option<AiModelId>,
    pub user_id: UserId,
    pub description: Description,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    pub dataset_id: Option<DatasetId>,
    /// The attempt whose documents are the answer.
    pub result: Option<i64>,
    pub job_id: JobId,
    #[diesel(embed)]
    ended: LogEnded,
    #[diesel(embed)]
    job: Option<AtWork>,
}

impl AiLog {
    /// How far the answer has come.
    #[must_use]
    pub fn status(&self) -> Status {
        let LogEnded {
            state,
            error,
            finished_at,
        } = self.ended.clone();
        Status::of(self.job.clone(), (state, error, finished_at))
    }

    /// Whether an earlier attempt has left a reason.
    fn has_reason(&self) -> bool {
        self.ended.error.is_some()
    }

    /// Why there is no answer, for its owner: nothing of what went wrong inside.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self.status().state {
            JobState::Failed => Some(
                self.ended
                    .error
                    .as_deref()
                    .unwrap_or("It failed for a reason that is in the server's log."),
            ),
            JobState::Cancelled => Some("It was cancelled."),
            _ => None,
        }
    }
}

/// How the last job of a model ended. A failed one may be tried again, so that the job counts as long as it is there.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = ai_models)]
pub struct ModelEnded {
    state: Option<JobState>,
    error: Option<String>,
    finished_at: Option<Timestamp>,
}

/// The same for a log.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = ai_logs)]
pub struct LogEnded {
    state: Option<JobState>,
    error: Option<String>,
    finished_at: Option<Timestamp>,
}

/// The job of a model or a log.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = job_table)]
pub struct AtWork {
    state: JobState,
    progress: Option<f64>,
    error: Option<String>,
    finished_at: Option<Timestamp>,
}

/// How far a job has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub state: JobState,
    /// From 0 to 1, while it runs.
    pub progress: Option<f64>,
    /// Why it failed, for admins.
    pub error: Option<String>,
    pub finished_at: Option<Timestamp>,
}

impl Status {
    fn of(
        job: Option<AtWork>,
        ended: (Option<JobState>, Option<String>, Option<Timestamp>),
    ) -> Self {
        let job = job.filter(|_| ended.0 != Some(JobState::Succeeded));
        let job = job.unwrap_or(AtWork {
            // A job is deleted only when it has ended, and how is noted before.
            state: ended.0.unwrap_or(JobState::Failed),
            progress: None,
            error: ended.1,
            finished_at: ended.2,
        });
        Self {
            state: job.state,
            progress: match job.state {
                JobState::Running => Some(job.progress.unwrap_or_default()),
                _ => None,
            },
            error: job.error.filter(|_| job.state == JobState::Failed),
            finished_at: job.finished_at,
        }
    }

    /// Whether nothing follows.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self.state, JobState::Queued | JobState::Running)
    }
}

/// What a model is called: one line of 1 to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = ai_models)]
pub struct ModelName {
    #[diesel(column_name = name)]
    pub text: String,
    /// What must be unique.
    #[diesel(column_name = name_key)]
    pub key: String,
}

impl ModelName {
    /// # Errors
    /// `BLANK`, `TOO_LONG` or `CONTROL_CHARACTER`.
    pub fn parse(name: &str) -> Result<Self, Rule> {
        let (text, key) = text::name(name, 1..=64)?;
        Ok(Self { text, key })
    }
}

/// What a model is for, or a question about: one line of 1 to 256 characters.
#[derive(Clone, Debug, PartialEq, Eq, DieselNewType)]
pub struct Description(String);

impl Description {
    /// # Errors
    /// `BLANK`, `TOO_LONG` or `CONTROL_CHARACTER`.
    pub fn parse(description: &str) -> Result<Self, Rule> {
        text::line(description, 1..=256).map(Self)
    }

    /// The description itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of the column that a model learns to predict: 1 to 256 characters.
#[derive(Clone, Debug, PartialEq, Eq, DieselNewType)]
pub struct Target(String);

impl Target {
    /// # Errors
    /// `BLANK`, `TOO_LONG` or `CONTROL_CHARACTER`.
    pub fn parse(target: &str) -> Result<Self, Rule> {
        text::line(target, 1..=256)?;
        // As it stands, since a file's column may be spelled in any form.
        Ok(Self(target.trim().to_owned()))
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The share of rows that a model is tested on: more than 0 and less than 1.
#[derive(Clone, Copy, Debug, PartialEq, DieselNewType)]
pub struct TestFraction(f64);

impl TestFraction {
    /// # Errors
    /// `OUT_OF_RANGE`.
    pub fn parse(fraction: f64) -> Result<Self, Rule> {
        match fraction > 0.0 && fraction < 1.0 {
            true => Ok(Self(fraction)),
            false => Err(Rule::Fraction),
        }
    }

    /// The share itself.
    #[must_use]
    pub fn share(self) -> f64 {
        self.0
    }
}

/// Has a model trained.
#[derive(Serialize, Deserialize)]
pub struct TrainModel {
    model: AiModelId,
    /// A later training makes it void.
    training: i32,
}

impl Payload for TrainModel {
    const KIND: &'static str = "train_model";
}

/// Has a question answered.
#[derive(Serialize, Deserialize)]
pub struct AskModel {
    log: AiLogId,
    question: Asked,
    /// Admins may ask hidden models.
    as_admin: bool,
}

/// What a model is asked.
#[derive(Debug, Serialize, Deserialize)]
pub enum Asked {
    Rows(Vec<Vec<f64>>),
    Dataset(DatasetId),
    /// AI_test.csv.
    Sample,
}

impl Payload for AskModel {
    const KIND: &'static str = "ask_model";
}

/// Has the answer to a deleted question deleted.
#[derive(Serialize, Deserialize)]
pub struct DeleteAnswer {
    log: AiLogId,
}

impl Payload for DeleteAnswer {
    const KIND: &'static str = "delete_ai_answer";
}

/// Where an uploaded data set is.
#[must_use]
pub fn dataset_path(id: DatasetId) -> BlobPath {
    BlobPath::new(Folder::Datasets, id)
}

/// Where the model of a training is.
#[must_use]
pub fn model_path(id: AiModelId, training: i32) -> BlobPath {
    BlobPath::new(Folder::Models, format_args!("{id}-{training}"))
}
