//! Answers, as documents: a page of predictions each. The first also has their number, or how well the model fits a data set.
//! Each attempt at a question writes its own; the log's row names the attempt that counts, and is written last.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    access::Actor,
    ai::regression::Quality,
    app::App,
    budget,
    documents::{Collection, Document, Index, Range},
    error::Result,
    ids::AiLogId,
    loader::Batch,
};

/// Predictions in one document, and the most that one field returns.
pub const PAGE: usize = 1_000;
/// Documents that are written together.
const WRITTEN: usize = 40;
/// Documents that are deleted together.
const DELETED: u32 = 200;

/// All pages of a log.
pub const BY_LOG: Index = Index::new("log_attempt", &["log", "attempt"]);

/// One page of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    _id: String,
    log: String,
    attempt: i64,
    /// On the first page: of all predictions, or of the rows that were evaluated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub evaluation: Option<Evaluation>,
    pub predictions: Vec<f64>,
}

/// How well a model fits a data set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub rmse: f64,
    pub r2: f64,
}

impl Document for Page {
    const COLLECTION: &'static str = "ai_answers";
    const INDEXES: &'static [Index] = &[BY_LOG];
}

/// A page of the answer of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageKey {
    pub log: AiLogId,
    pub attempt: i64,
    /// From 0.
    pub number: usize,
}

impl PageKey {
    fn id(self) -> String {
        let Self {
            log,
            attempt,
            number,
        } = self;
        format!("{log}.{attempt}.{number}")
    }
}

/// Pages of answers to logs that the actor may see.
pub struct PageOfReadable;

impl Batch for PageOfReadable {
    type Key = PageKey;
    type Value = Arc<Page>;

    async fn load(app: &App, _: Actor, keys: Vec<PageKey>) -> Result<HashMap<PageKey, Arc<Page>>> {
        let pages = app.documents.collection::<Page>().await?;
        let limit = app.config.limits.answer;
        let (mut all, mut bytes) = (HashMap::new(), 0);
        // In chunks, so that at most one chunk is read beyond the limit of a response.
        for keys in keys.chunks(100) {
            let ids: Vec<String> = keys.iter().map(|key| key.id()).collect();
            let found = pages.get_many(&ids).await?.into_iter();
            let mut found: HashMap<_, _> = found.map(|page| (page._id.clone(), page)).collect();
            for key in keys {
                if let Some(page) = found.remove(&key.id()) {
                    bytes += size_of_val(page.predictions.as_slice());
                    all.insert(*key, Arc::new(page));
                }
            }
            if bytes > limit {
                return Err(budget::over(limit));
            }
        }
        Ok(all)
    }
}

/// Writes the answer of one attempt.
pub struct Writer {
    pages: Collection<Page>,
    log: AiLogId,
    attempt: i64,
    /// The first page, which is written last.
    first: Vec<f64>,
    /// The page that is being filled, if it is not the first.
    filling: Vec<f64>,
    full: Vec<Page>,
    count: usize,
}

impl Writer {
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn open(app: &App, log: AiLogId, attempt: i64) -> Result<Self> {
        Ok(Self {
            pages: app.documents.collection().await?,
            log,
            attempt,
            first: Vec::new(),
            filling: Vec::new(),
            full: Vec::new(),
            count: 0,
        })
    }

    /// Adds predictions.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn push(&mut self, predictions: &[f64]) -> Result<()> {
        for prediction in predictions {
            if self.count < PAGE {
                self.first.push(*prediction);
            } else {
                self.filling.push(*prediction);
            }
            self.count += 1;
            if self.filling.len() == PAGE {
                self.turn();
            }
        }
        match self.full.len() < WRITTEN {
            true => Ok(()),
            false => self.write().await,
        }
    }

    fn turn(&mut self) {
        let number = (self.count - 1) / PAGE;
        let predictions = std::mem::take(&mut self.filling);
        let page = self.page(number, predictions);
        self.full.push(page);
    }

    fn page(&self, number: usize, predictions: Vec<f64>) -> Page {
        let key = PageKey {
            log: self.log,
            attempt: self.attempt,
            number,
        };
        Page {
            _id: key.id(),
            log: self.log.to_string(),
            attempt: self.attempt,
            count: None,
            evaluation: None,
            predictions,
        }
    }

    async fn write(&mut self) -> Result<()> {
        let full = std::mem::take(&mut self.full);
        // What is a duplicate was written when it seemed to fail.
        self.pages.insert(&full).await.map(drop)
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn end(mut self) -> Result<()> {
        if !self.filling.is_empty() {
            self.turn();
        }
        let predictions = std::mem::take(&mut self.first);
        let mut first = self.page(0, predictions);
        first.count = Some(self.count as i64);
        self.full.push(first);
        self.write().await
    }

    /// Writes how well the model fits, which is the whole answer.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn evaluate(mut self, quality: Quality, rows: u64) -> Result<()> {
        let Quality { rmse, r2 } = quality;
        let mut first = self.page(0, Vec::new());
        first.count = i64::try_from(rows).ok();
        first.evaluation = Some(Evaluation { rmse, r2 });
        self.full.push(first);
        self.write().await
    }
}

/// Deletes what attempts before this one have written.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn delete_before(app: &App, log: AiLogId, attempt: i64) -> Result<()> {
    delete_range(app, Range::of(BY_LOG, DELETED).equal(log).below(attempt)).await
}

/// Deletes the answers of all attempts at a question.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn delete(app: &App, log: AiLogId) -> Result<()> {
    delete_range(app, Range::of(BY_LOG, DELETED).equal(log)).await
}

async fn delete_range(app: &App, range: Range) -> Result<()> {
    let pages = app.documents.collection::<Page>().await?;
    while pages.delete(range.clone()).await? > 0 {}
    Ok(())
}
