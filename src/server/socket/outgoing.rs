//! The queue of messages to send on one socket.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, ready};
use tungstenite::{
    Error, Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

/// The most queued messages before nothing more is started for the client or read from it.
const FULL: usize = 16;

/// The most queued bytes, likewise.
const FULL_BYTES: usize = 256 << 10;

/// The most bytes of a frame. Longer messages are split, since each frame is copied to be sent, and the socket keeps
/// the copy's memory.
const FRAME: usize = 64 << 10;

/// A queue that stays short because its producers wait: subscriptions until it is empty, other operations while it is
/// full. Clients that do not read are cut off by a lower layer.
#[derive(Default)]
pub struct Outgoing {
    waiting: VecDeque<Message>,
    bytes: usize,
    /// Whether data may still be in the library's buffer.
    is_busy: bool,
}

impl Outgoing {
    /// Queues `message`.
    pub fn push(&mut self, message: Message) {
        self.bytes += message.len();
        self.waiting.push_back(message);
        self.is_busy = true;
    }

    /// Queues a message of text.
    pub fn push_text(&mut self, mut text: Bytes) {
        let mut kind = Data::Text;
        loop {
            let frame = text.split_to(text.len().min(FRAME));
            let is_last = text.is_empty();
            self.push(Message::Frame(Frame::message(
                frame,
                OpCode::Data(kind),
                is_last,
            )));
            if is_last {
                break;
            }
            kind = Data::Continue;
        }
    }

    /// Whether everything has been handed to the operating system.
    pub fn is_idle(&self) -> bool {
        !self.is_busy
    }

    /// Whether nothing more should be started.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= FULL || self.bytes >= FULL_BYTES
    }

    /// Sends queued messages. A message leaves the queue only when it is in the socket's buffer.
    ///
    /// # Errors
    /// When the connection is broken, or the client does not read.
    pub fn poll_drain<S>(&mut self, cx: &mut Context<'_>, sink: &mut S) -> Poll<Result<(), Error>>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        while !self.waiting.is_empty() {
            ready!(sink.poll_ready_unpin(cx))?;
            if let Some(message) = self.waiting.pop_front() {
                self.bytes -= message.len();
                sink.start_send_unpin(message)?;
            }
        }
        ready!(sink.poll_flush_unpin(cx))?;
        self.is_busy = false;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_go_in_several_frames_and_fill_the_queue() {
        let mut outgoing = Outgoing::default();
        outgoing.push_text(Bytes::from_static(b"short"));
        assert!(!outgoing.is_full());
        let text: Vec<u8> = (0..FULL_BYTES + 1).map(|n| (n % 128) as u8).collect();

        outgoing.push_text(Bytes::from(text.clone()));

        assert!(outgoing.is_full() && !outgoing.is_idle());
        let frames: Vec<_> = outgoing
            .waiting
            .iter()
            .map(|message| match message {
                Message::Frame(frame) => frame,
                other => panic!("{other}"),
            })
            .collect();
        assert!(frames[0].header().is_final);
        let parts = &frames[1..];
        assert!(parts.iter().all(|frame| frame.payload().len() <= FRAME));
        let is_final: Vec<_> = parts.iter().map(|frame| frame.header().is_final).collect();
        assert_eq!(is_final, [false, false, false, false, true]);
        let whole: Vec<u8> = parts.iter().flat_map(|f| f.payload().to_vec()).collect();
        assert_eq!(whole, text);
    }
}
