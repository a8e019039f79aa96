//! Background work of accounts: the sweep of what has expired.

use serde::{Deserialize, Serialize};

use super::store::sweep;
use crate::{
    queue::Payload,
    work::{Done, Failure, Run, Work},
};

/// Deletes sign-in sessions, refresh tokens and sign-in addresses that have expired.
#[derive(Default, Serialize, Deserialize)]
pub struct SweepSignIns {}

impl Payload for SweepSignIns {
    const KIND: &'static str = "sweep_sign_ins";
}

impl Work for SweepSignIns {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        let now = run.app.clock.now();
        for delete in sweep::STEPS {
            while run.write(move |conn| delete(conn, now)).await? > 0 {}
        }
        Ok(run.done())
    }
}
