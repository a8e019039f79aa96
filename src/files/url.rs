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
    let signature = signing(file.id, size, viewer, expires, |parts| {
        BASE64_URL_SAFE_NO_PAD.encode(app.keys.file_urls.sign(parts))
    });
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
    let given = BASE64_URL_SAFE_NO_PAD.decode(query.signature.as_ref()?);
    let given = given.ok()?.try_into().ok()?;
    let is_ours = signing(file, query.size, viewer, expires, |parts| {
        app.keys.file_urls.has_signed(parts, &given)
    });
    let left = expires - app.clock.now().seconds();
    (is_ours && left > 0).then_some(Signed { viewer, left })
}

/// Calls `act` with what an address's signature covers.
fn signing<T>(
    file: FileId,
    size: Option<u32>,
    viewer: Viewer,
    expires: i64,
    act: impl FnOnce(&[&[u8]]) -> T,
) -> T {
    let session = match viewer {
        Viewer::Anonymous => &[][..],
        Viewer::SignedIn(session) => &session.uuid().into_bytes(),
    };
    act(&[
        file.uuid().as_bytes(),
        &size.map(u32::to_be_bytes).unwrap_or_default(),
        session,
        &expires.to_be_bytes(),
    ])
}
