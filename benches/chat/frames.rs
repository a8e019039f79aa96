//! As much of the WebSocket protocol as a client needs who measures: the handshake, small frames to send, and frames to
//! read without a copy.

/// The request of a handshake for `path`.
pub fn handshake(path: &str, port: u16) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    )
}

/// A masked frame of text, with a mask of zeros.
pub fn text(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

/// The answer to a ping.
pub fn pong() -> Vec<u8> {
    frame(0x8a, b"")
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// What a server sent.
pub enum Frame<'a> {
    Text(&'a [u8]),
    Ping,
    /// With the code and the reason.
    Close(&'a [u8]),
    Other,
}

/// The first frame of `bytes`, and what follows it. None while it is not complete.
pub fn read(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&second, rest) = rest.split_first()?;
    let (length, rest) = match second & 0x7f {
        126 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*length), rest)
        }
        length => (u64::from(length), rest),
    };
    let length = usize::try_from(length).ok()?;
    if rest.len() < length {
        return None;
    }
    let (payload, rest) = rest.split_at(length);
    let frame = match first & 0x0f {
        1 => Frame::Text(payload),
        8 => Frame::Close(payload),
        9 => Frame::Ping,
        _ => Frame::Other,
    };
    Some((frame, rest))
}

/// The number behind `mark` in `text`.
pub fn number(text: &[u8], mark: &[u8]) -> Option<u64> {
    let at = text.windows(mark.len()).position(|window| window == mark)?;
    let digits = text[at + mark.len()..].iter();
    let digits = digits.take_while(|byte| byte.is_ascii_digit());
    let mut number = None;
    for digit in digits {
        number = Some(number.unwrap_or(0) * 10 + u64::from(digit - b'0'));
    }
    number
}
