//! Answering questions.

use std::sync::Arc;

use super::{Reading, Taker, cache, read_all};
use crate::{
    ai::{
        AiLog, AiModel, AskModel, Asked,
        dataset::{Flaw, columns},
        model::LinearModel,
        regression::Quality,
        store::{
            answers::{self, Writer},
            discard, logs, models,
        },
    },
    error::{Error, Result, short},
    ids::DatasetId,
    work::{Done, Failure, Run, Work},
};

impl Work for AskModel {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        let Self {
            log: id,
            question,
            as_admin,
        } = self;
        let found = run.app.db.read(move |conn| logs::find(conn, id)).await?;
        let Some(log) = found else {
            // It was deleted, and nobody waits for an answer.
            return Ok(run.done());
        };
        if log.has_reason() {
            run.write(move |conn| logs::forget_reason(conn, id)).await?;
        }
        let answered = answer(run, &log, question, as_admin).await;
        if let Err(Failure::Final(reason)) = &answered {
            let reason = reason.clone();
            run.write(move |conn| logs::note_reason(conn, id, &reason))
                .await?;
        }
        if let (Ok(_) | Err(Failure::Final(_)), Some(dataset)) = (&answered, log.dataset_id) {
            discard(&run.app, dataset).await;
        }
        answered
    }
}

async fn answer(run: &Run, log: &AiLog, question: Asked, as_admin: bool) -> Result<Done, Failure> {
    let (app, id, attempt) = (&run.app, log.id, run.attempt());
    let model = load(run, log, as_admin).await?;
    let mut writer = Writer::open(app, id, attempt).await?;
    match question {
        Asked::Rows(rows) => {
            let width = model.features.len();
            if rows.iter().any(|row| row.len() != width) {
                return Err(Failure::Final(format!(
                    "the model was trained anew meanwhile, and takes {} now",
                    columns(width)
                )));
            }
            let predictions = rows.iter().zip(1..);
            let predictions = predictions.map(|(row, n)| predicted(&model, row, n));
            let predictions: Result<Vec<f64>, String> = predictions.collect();
            let predictions = predictions.map_err(Failure::Final)?;
            writer.push(&predictions).await?;
            writer.end().await?;
        }
        Asked::Dataset(dataset) => answer_dataset(run, model, writer, Some(dataset)).await?,
        Asked::Sample => answer_dataset(run, model, writer, None).await?,
    }
    if attempt > 1 {
        answers::delete_before(app, id, attempt).await?;
    }
    let ports = app.clone();
    let done = run.finish(
        move |conn| match logs::note_answered(conn, &ports, id, attempt)? {
            true => Ok(()),
            false => Err(Error::NotFound),
        },
    );
    match done.await {
        Err(Failure::Again(Error::NotFound)) => {
            // The log was deleted meanwhile, and so was what had been written by then.
            answers::delete(app, id).await?;
            Ok(run.done())
        }
        done => done,
    }
}

const OUT_OF_RANGE: &str = "the prediction is beyond the range of numbers";

/// What the model predicts for the row with this number, or why there is nothing.
fn predicted(model: &LinearModel, row: &[f64], n: usize) -> Result<f64, String> {
    let prediction = model.predict(row);
    match prediction.is_finite() {
        true => Ok(prediction),
        false => Err(format!("row {n}: {OUT_OF_RANGE}")),
    }
}

/// The model that a question is about, as it is in use now.
async fn load(run: &Run, log: &AiLog, as_admin: bool) -> Result<Arc<LinearModel>, Failure> {
    let refuse = |sentence: &str| Failure::Final(sentence.to_owned());
    let id = log
        .model_id
        .ok_or_else(|| refuse("the model was deleted"))?;
    let mut tried = None;
    loop {
        let found = run.app.db.read(move |conn| models::find(conn, id)).await?;
        let found: AiModel = found.ok_or_else(|| refuse("the model was deleted"))?;
        if !found.is_visible && !as_admin {
            return Err(refuse("the model was hidden"));
        }
        let training = found
            .trained
            .ok_or_else(|| refuse("the model is not trained"))?;
        if tried == Some(training) {
            return Err(refuse(
                "the model's file is missing: it has to be trained again",
            ));
        }
        match cache::load(&run.app, id, training).await {
            // A newer one may have taken its place meanwhile.
            Err(Error::NotFound) => tried = Some(training),
            Err(error) => return Err(error.into()),
            Ok(Ok(model)) => return Ok(model),
            Ok(Err(what)) => {
                return Err(Failure::Final(format!(
                    "the model's file {what}: it has to be trained again"
                )));
            }
        }
    }
}

async fn answer_dataset(
    run: &Run,
    model: Arc<LinearModel>,
    writer: Writer,
    dataset: Option<DatasetId>,
) -> Result<(), Failure> {
    let reading = Reading::open(&run.app, dataset).await?;
    let column = |name: &String| {
        let column = reading.column(name);
        column.ok_or_else(|| Failure::Final(format!("line 1: there is no column {}", short(name))))
    };
    let mut wanted = model
        .features
        .iter()
        .map(column)
        .collect::<Result<Vec<_>, _>>()?;
    match reading.column(&model.target) {
        Some(target) => {
            wanted.push(target);
            evaluate(run, reading, wanted, model, writer).await
        }
        None => predict(run, reading, wanted, model, writer).await,
    }
}

/// Predictions that are on their way to the documents.
struct Predicting {
    model: Arc<LinearModel>,
    rows: usize,
    predictions: Vec<f64>,
    writer: Writer,
}

impl Taker for Predicting {
    fn take(&mut self, row: &[f64]) -> Result<(), Flaw> {
        self.rows += 1;
        let prediction = predicted(&self.model, row, self.rows).map_err(Flaw::Data)?;
        self.predictions.push(prediction);
        Ok(())
    }

    async fn pause(&mut self) -> Result<()> {
        self.writer.push(&self.predictions).await?;
        self.predictions.clear();
        Ok(())
    }
}

async fn predict(
    run: &Run,
    reading: Reading,
    wanted: Vec<usize>,
    model: Arc<LinearModel>,
    writer: Writer,
) -> Result<(), Failure> {
    let predicting = Predicting {
        model,
        rows: 0,
        predictions: Vec::new(),
        writer,
    };
    let Predicting { rows, writer, .. } = read_all(run, reading, wanted, predicting).await?;
    if rows == 0 {
        return Err(Failure::Final(NO_ROWS.to_owned()));
    }
    writer.end().await?;
    Ok(())
}

const NO_ROWS: &str = "the data set has no rows";

/// Sums over a data set with the target. The mean and the distances to it are Welford's, which stay exact.
struct Evaluating {
    model: Arc<LinearModel>,
    rows: u64,
    residuals: f64,
    mean: f64,
    distances: f64,
    targets: f64,
}

impl Taker for Evaluating {
    fn take(&mut self, row: &[f64]) -> Result<(), Flaw> {
        let (target, features) = row.split_last().unwrap_or((&0.0, &[]));
        self.rows += 1;
        self.residuals += (target - self.model.predict(features)).powi(2);
        let before = target - self.mean;
        self.mean += before / self.rows as f64;
        self.distances += before * (target - self.mean);
        self.targets += target * target;
        Ok(())
    }
}

async fn evaluate(
    run: &Run,
    reading: Reading,
    wanted: Vec<usize>,
    model: Arc<LinearModel>,
    writer: Writer,
) -> Result<(), Failure> {
    let evaluating = Evaluating {
        model,
        rows: 0,
        residuals: 0.0,
        mean: 0.0,
        distances: 0.0,
        targets: 0.0,
    };
    let sums = read_all(run, reading, wanted, evaluating).await?;
    if sums.rows == 0 {
        return Err(Failure::Final(NO_ROWS.to_owned()));
    }
    let quality = Quality::of(sums.residuals, sums.distances, sums.targets, sums.rows);
    if !(quality.rmse.is_finite() && quality.r2.is_finite()) {
        return Err(Failure::Final(OUT_OF_RANGE.to_owned()));
    }
    writer.evaluate(quality, sums.rows).await?;
    Ok(())
}
