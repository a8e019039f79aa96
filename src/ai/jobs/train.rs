//! Training.

use bytes::Bytes;
use futures_util::stream;

use super::{Reading, Taker, read_all};
use crate::{
    ai::{
        AiModel, Learned, TrainModel,
        dataset::Flaw,
        model::LinearModel,
        model_path,
        regression::{Rows, Solution, Split, Unsolvable},
        store::models,
    },
    cpu::Share,
    error::{Error, short},
    work::{Done, Failure, Run, Work},
};

impl Work for TrainModel {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        let Self {
            model: id,
            training,
        } = self;
        let found = run.app.db.read(move |conn| models::find(conn, id)).await?;
        let found = found.ok_or_else(deleted)?;
        if found.training != training {
            return Err(Failure::Final(
                "another training was begun later".to_owned(),
            ));
        }
        let (model, learned) = train(run, &found).await?;
        let bytes = model.to_bytes().map_err(|error| Error::internal(error))?;
        let content = stream::iter([Ok(Bytes::from(bytes))]);
        let path = model_path(id, training);
        run.app.blobs.write(&path, content, u64::MAX).await?;
        let app = run.app.clone();
        let noted =
            run.finish(move |conn| models::note_trained(conn, &app, id, training, &learned));
        match noted.await {
            Err(Failure::Again(Error::NotFound)) => Err(deleted()),
            noted => noted,
        }
    }
}

fn deleted() -> Failure {
    Failure::Final("the model was deleted".to_owned())
}

/// The rows, as they are dealt.
struct Dealt {
    split: Split,
    train: Rows,
    test: Rows,
}

impl Taker for Dealt {
    fn take(&mut self, row: &[f64]) -> Result<(), Flaw> {
        let rows = match self.split.is_test() {
            true => &mut self.test,
            false => &mut self.train,
        };
        rows.push(row);
        Ok(())
    }
}

async fn train(run: &Run, model: &AiModel) -> Result<(LinearModel, Learned), Failure> {
    let settings = &model.settings;
    let reading = Reading::open(&run.app, settings.dataset_id).await?;
    let target = settings.target.as_str();
    let at = reading
        .column(target)
        .ok_or_else(|| Failure::Final(format!("line 1: there is no column {}", short(target))))?;
    let columns = reading.dataset.columns();
    let others = (0..columns.len()).filter(|column| *column != at);
    let features: Vec<String> = others.clone().map(|n| columns[n].clone()).collect();
    if features.is_empty() {
        return Err(Failure::Final(format!(
            "line 1: there is no column beside {}",
            short(target)
        )));
    }
    let wanted = others.chain([at]).collect();
    let rows = Rows::new(features.len());
    let dealt = Dealt {
        split: Split::new(settings.test_fraction.share(), settings.seed),
        test: rows.clone(),
        train: rows,
    };
    let dealt = read_all(run, reading, wanted, dealt).await?;
    let named = features.clone();
    let solve = move || solve(dealt, &named);
    let (solution, learned) = run.app.cpu.run(Share::Models, solve).await??;
    let model = LinearModel::new(features, target.to_owned(), &solution);
    Ok((model, learned))
}

fn solve(mut dealt: Dealt, features: &[String]) -> Result<(Solution, Learned), Failure> {
    let told = |why: Unsolvable| Failure::Final(sentence(&why, features));
    let solution = dealt.train.solve().map_err(told)?;
    let test_rows = dealt.test.count();
    if test_rows == 0 {
        return Err(Failure::Final(format!(
            "no row is left to test with: there are {} rows",
            dealt.train.count()
        )));
    }
    let quality = dealt.test.quality(&solution).map_err(told)?;
    let learned = Learned {
        features: features.to_vec(),
        intercept: solution.intercept,
        coefficients: solution.coefficients.clone(),
        rmse: quality.rmse,
        r2: quality.r2,
        train_rows: dealt.train.count(),
        test_rows,
    };
    Ok((solution, learned))
}

fn sentence(why: &Unsolvable, features: &[String]) -> String {
    let name = |n: usize| short(features.get(n).map_or("", String::as_str));
    match *why {
        Unsolvable::TooFewRows { rows, coefficients } => format!(
            "{rows} rows to train with are too few for {coefficients} coefficients, the intercept included"
        ),
        Unsolvable::Constant(n) => format!(
            "{} is the same in all rows to train with, so that its coefficient could be any",
            name(n)
        ),
        Unsolvable::Dependent(n) => format!(
            "{} is a linear combination of the columns before it, so that its coefficient could be any",
            name(n)
        ),
        Unsolvable::OutOfRange => "the coefficients are beyond the range of numbers".to_owned(),
    }
}
