//! The close codes of graphql-transport-ws.

use tungstenite::{Utf8Bytes, protocol::CloseFrame};

use crate::error::{Error, ErrorCode};

/// The most bytes of a reason: a control frame has at most 125, of which the code takes two.
const REASON: usize = 123;

/// The code and the reason of a close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    pub code: u16,
    pub reason: String,
}

impl Close {
    /// The server stops. Clients reconnect, to another server or a little later.
    pub fn going_away() -> Self {
        Self::new(1001, "Going away")
    }

    /// Frames that are none.
    pub fn protocol_error() -> Self {
        Self::new(1002, "Protocol error")
    }

    /// Text that is not UTF-8.
    pub fn not_text() -> Self {
        Self::new(1007, "Not UTF-8")
    }

    /// A message that is too large.
    pub fn too_big() -> Self {
        Self::new(1009, "Message too big")
    }

    /// Too many sockets, or the token cannot be checked. Clients reconnect later.
    pub fn try_again_later(reason: &str) -> Self {
        Self::new(1013, reason)
    }

    /// The message violates the protocol.
    pub fn bad_request(reason: &str) -> Self {
        Self::new(4400, reason)
    }

    /// An operation before the acknowledgement.
    pub fn unauthorized() -> Self {
        Self::new(4401, "Unauthorized")
    }

    /// The token is invalid, or no longer valid. Clients reconnect with a new one.
    pub fn forbidden() -> Self {
        Self::new(4403, "Forbidden")
    }

    /// Another subprotocol.
    pub fn subprotocol() -> Self {
        Self::new(4406, "Subprotocol not acceptable")
    }

    /// No `connection_init` in time.
    pub fn init_timeout() -> Self {
        Self::new(4408, "Connection initialisation timeout")
    }

    /// The id is that of a running operation.
    pub fn duplicate(id: &str) -> Self {
        Self::new(4409, &format!("Subscriber for {id} already exists"))
    }

    /// A second `connection_init`.
    pub fn second_init() -> Self {
        Self::new(4429, "Too many initialisation requests")
    }

    /// Why a token does not open a socket.
    pub fn refused(error: &Error) -> Self {
        match error.code() {
            ErrorCode::Unavailable | ErrorCode::Timeout | ErrorCode::RateLimited => {
                Self::try_again_later("Try again later")
            }
            ErrorCode::Internal => Self::new(4500, "Internal server error"),
            // 4401, not 4403, since clients reconnect after 4403.
            ErrorCode::Banned => Self::unauthorized(),
            _ => Self::forbidden(),
        }
    }

    /// Why the right of an open socket has ended. `None` if it may still be valid, but cannot be checked at the moment.
    pub fn ended(error: &Error) -> Option<Self> {
        match error.code() {
            ErrorCode::TokenExpired => Some(Self::forbidden()),
            ErrorCode::Unavailable
            | ErrorCode::Timeout
            | ErrorCode::RateLimited
            | ErrorCode::Internal => None,
            _ => Some(Self::unauthorized()),
        }
    }

    fn new(code: u16, reason: &str) -> Self {
        Self {
            code,
            reason: reason[..reason.floor_char_boundary(REASON)].to_owned(),
        }
    }
}

impl From<Close> for CloseFrame {
    fn from(close: Close) -> Self {
        Self {
            code: close.code.into(),
            reason: Utf8Bytes::from(close.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_into_a_control_frame() {
        let close = Close::duplicate(&"마".repeat(100));

        assert!(close.reason.len() <= 123 && close.reason.len() > 119);
        assert!(close.reason.starts_with("Subscriber for 마"));
    }
}
