//! All kinds of jobs, and who follows which event.

use std::time::Duration;

use crate::{
    accounts::{UserDeleted, jobs::SweepSignIns},
    ai::{
        AskModel, DeleteAnswer, TrainModel,
        jobs::{DeleteLogs, SweepAi},
    },
    chat::{
        SessionDeleted,
        jobs::{DeleteChats, LeaveChats},
    },
    files::{DeleteFiles, MakeThumbnails, jobs::SweepFiles},
    jobs::jobs::SweepJobs,
    posts::jobs::{TakeBackLikes, WriteViews},
    work::{Kinds, Place},
};

const HOUR: Duration = Duration::from_secs(3_600);
/// How often views are written to the database. A crash loses at most these.
const BETWEEN_VIEWS: Duration = Duration::from_secs(10);

/// The kinds of this program.
#[must_use]
pub fn kinds() -> Kinds {
    Kinds::default()
        .repeating::<WriteViews>(BETWEEN_VIEWS, Place::AtTheCache)
        .repeating::<SweepSignIns>(HOUR, Place::Anywhere)
        .repeating::<SweepJobs>(HOUR, Place::Anywhere)
        .repeating::<SweepFiles>(HOUR, Place::Anywhere)
        .repeating::<SweepAi>(HOUR, Place::Anywhere)
        .with::<MakeThumbnails>()
        .with::<DeleteFiles>()
        .with_long::<TrainModel>()
        .with_long::<AskModel>()
        .with::<DeleteAnswer>()
        .following::<UserDeleted, TakeBackLikes>()
        .following::<UserDeleted, DeleteLogs>()
        .following::<UserDeleted, LeaveChats>()
        .following::<SessionDeleted, DeleteChats>()
}
