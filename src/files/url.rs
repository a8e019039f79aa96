//! Addresses of files, which a browser can load without a header: signed, and valid for 15 to 30 minutes. All that are
//! made within one quarter of an hour end at the same time, so that browsers find a file in their caches.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::Attachment;
use crate::{
    access::Actor,
    app::App,
    ids::{FileId, SignInId},
};

/// Seconds between the times at which addresses end.
const MARK: i64 = 15 * 60;
/// Bytes of a signature.
const SIGNATURE: usize = 16;

/// The query of an address.
#[derive(Debug, Default, Deserialize)]
pub struct Query {
    /// The longest side of a thumbnail, in pixels.
    pub size: Option<u32>,
    /// The sign-in session that it was made for. Absent for anonymous readers.
    viewer: Option<String>,
    /// In seconds since 1970.
    expires: Option<i64>,
    signature: Option<String>,
}

/// Whom an address was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    Anonymous,
    SignedIn(SignInId),
}

impl Viewer {
    fn of(actor: &Actor) -> Self {
        match actor.signed_in() {
            Some(signed_in) => Self::SignedIn(signed_in.session),
            None => Self::Anonymous,
        }
    }
}

/// The address of a file, or of its thumbnail of this size, for `actor`, who may read it.
#[must_use]
pub fn signed(app: &App, actor: &Actor, file: &Attachment, size: Option<u32>) -> String {
    let viewer = Viewer::of(actor);
    let expires = (app.clock.now().seconds().div_euclid(MARK) + 2) * MARK;
    let signature = signature(app, file.id, size, viewer, expires);
    let base = app.config.public_url.0.as_ref();
    let base = base.map_or("", |url| url.as_str().trim_end_matches('/'));
    let mut address = format!("{base}/files/{}?", file.id);
    if let Some(size) = size {
        address.push_str(&format!("size={size}&"));
    }
    if let Viewer::SignedIn(session) = viewer {
        address.push_str(&format!("viewer={session}&"));
    }
    address.push_str(&format!("expires={expires}&signature={signature}"));
    address
}

/// What an address says that is ours and has not ended.
#[derive(Clone, Copy, Debug)]
pub struct Signed {
    pub viewer: Viewer,
    /// The seconds until it ends.
    pub left: i64,
}

/// Whom this address of `file` was made for, if it is ours and has not ended.
#[must_use]
pub fn verify(app: &App, file: FileId, query: &Query) -> Option<Signed> {
    let viewer = match &query.viewer {
        Some(session) => Viewer::SignedIn(SignInId::parse(session).ok()?),
        None => Viewer::Anonymous,
    };
    let expires = query.expires?;
    let expected = signature(app, file, query.size, viewer, expires);
    let given = query.signature.as_ref()?;
    // In the same time whatever differs.
    let differs = expected.len() ^ given.len()
        | expected
            .bytes()
            .zip(given.bytes())
            .fold(0, |all, (a, b)| all | usize::from(a ^ b));
    let left = expires - app.clock.now().seconds();
    (differs == 0 && left > 0).then_some(Signed { viewer, left })
}

fn signature(app: &App, file: FileId, size: Option<u32>, viewer: Viewer, expires: i64) -> String {
    let session = match viewer {
        Viewer::Anonymous => &[][..],
        Viewer::SignedIn(session) => &session.uuid().into_bytes(),
    };
    let hash = app.keys.file_urls.hash(&[
        file.uuid().as_bytes(),
        &size.map(u32::to_be_bytes).unwrap_or_default(),
        session,
        &expires.to_be_bytes(),
    ]);
    BASE64_URL_SAFE_NO_PAD.encode(&hash[..SIGNATURE])
}
