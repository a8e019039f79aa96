//! Background work of the queue itself: forgetting what ended long ago.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    queue::Payload,
    work::{Done, Failure, Run, Work},
};

/// How long jobs that have succeeded are kept. Others are kept ten times as long.
const KEPT: Duration = Duration::from_secs(3 * 86_400);
/// Rows in one transaction.
const BATCH: i64 = 500;

/// Deletes jobs that ended long ago.
#[derive(Default, Serialize, Deserialize)]
pub struct SweepJobs {}

impl Payload for SweepJobs {
    const KIND: &'static str = "sweep_jobs";
}

impl Work for SweepJobs {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        let queue = run.app.queue.clone();
        loop {
            let queue = queue.clone();
            let deleted = run
                .write(move |conn| queue.delete_ended(conn, KEPT, BATCH))
                .await?;
            if deleted == 0 {
                return Ok(run.done());
            }
        }
    }
}
