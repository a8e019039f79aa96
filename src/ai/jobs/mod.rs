//! Background work of AI models: training, answering, and tidying up. What burns a core runs in turns, so that a long
//! training neither holds up short questions nor goes on long after it was cancelled.

mod ask;
mod cache;
mod tidy;
mod train;

use std::{fs::File, time::Duration};

pub use self::tidy::{DeleteLogs, SweepAi};
use super::{
    dataset::{Dataset, Flaw},
    dataset_path, sample,
};
use crate::{
    app::App,
    cpu::Share,
    error::{Error, Result},
    ids::DatasetId,
    work::{Failure, Run},
};

/// How long a job keeps a core before others get their turn.
const TURN: Duration = Duration::from_millis(20);

/// A data set that is being read.
struct Reading {
    dataset: Dataset<File>,
    /// In bytes.
    size: u64,
}

impl Reading {
    /// Opens an uploaded data set, or AI_test.csv.
    async fn open(app: &App, id: Option<DatasetId>) -> Result<Self, Failure> {
        let volume = app.config.volume_dir.clone();
        let file = match id {
            Some(id) => match app.blobs.file(&dataset_path(id), &volume).await {
                Err(Error::NotFound) => {
                    return Err(Failure::Final("the data set is gone".to_owned()));
                }
                file => file?,
            },
            None => {
                let open = move || File::open(sample::path(&volume)?);
                let opening = tokio::task::spawn_blocking(open).await;
                opening
                    .map_err(|error| Error::internal(error))?
                    .map_err(|error| Error::internal(error))?
            }
        };
        let open = move || -> Result<Self, Flaw> {
            let size = file.metadata()?.len();
            let dataset = Dataset::open(file)?;
            Ok(Self { dataset, size })
        };
        app.cpu.run(Share::Models, open).await?.map_err(told)
    }

    /// Where the column is.
    fn column(&self, name: &str) -> Option<usize> {
        let mut columns = self.dataset.columns().iter();
        columns.position(|column| column == name)
    }
}

/// What takes the rows of a data set.
trait Taker: Send + 'static {
    /// Takes a row.
    fn take(&mut self, row: &[f64]) -> Result<(), Flaw>;

    /// Follows each turn.
    fn pause(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// Gives `taker` the columns `wanted` of all rows, in turns.
async fn read_all<T: Taker>(
    run: &Run,
    mut reading: Reading,
    mut wanted: Vec<usize>,
    mut taker: T,
) -> Result<T, Failure> {
    loop {
        let turn = move || {
            let take = |row: &[f64]| taker.take(row);
            let more = reading.dataset.read_for(TURN, &wanted, take);
            more.map(|more| (reading, wanted, taker, more))
        };
        let done = run.app.cpu.run(Share::Models, turn).await?;
        let more;
        (reading, wanted, taker, more) = done.map_err(told)?;
        taker.pause().await?;
        if !more {
            return Ok(taker);
        }
        let share = reading.dataset.position() as f64 / reading.size.max(1) as f64;
        run.progress(share).await?;
    }
}

fn told(flaw: Flaw) -> Failure {
    match flaw {
        Flaw::Data(sentence) => Failure::Final(sentence),
        Flaw::Io(error) => Failure::Again(Error::internal(error)),
    }
}
