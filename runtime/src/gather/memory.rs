//! Room for bodies: all that are held at once fit into a bound, whatever clients, leaves and the merging container send.
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Less than half of what is read at once.
const SMALL: usize = 4096;

/// The room that there is.
#[derive(Debug)]
pub struct Memory {
    most: usize,
    held: AtomicUsize,
}

/// Room that is held until this is dropped.
#[derive(Debug)]
pub struct Room {
    memory: Arc<Memory>,
    bytes: usize,
}

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// Larger than allowed.
    TooLarge,
    /// There is no room at present.
    NoRoom,
    /// The connection broke, or what came is no HTTP.
    Broken,
}

impl Memory {
    /// So many bytes.
    pub fn new(most: usize) -> Arc<Memory> {
        Arc::new(Memory {
            most,
            held: AtomicUsize::new(0),
        })
    }

    /// How many bytes are held.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// An empty room.
    pub fn room(self: &Arc<Self>) -> Room {
        Room {
            memory: Arc::clone(self),
            bytes: 0,
        }
    }
}

impl Room {
    /// Takes so many bytes more, if there are.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let most = self.memory.most;
        let take = |held: usize| held.checked_add(bytes).filter(|held| *held <= most);
        let taken = self
            .memory
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok();
        self.bytes += if taken { bytes } else { 0 };
        taken
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.memory.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads a body of at most `most` bytes.
///
/// # Errors
/// With the reason; then nothing of it is kept.
pub async fn read<B>(mut body: B, most: usize, memory: &Arc<Memory>) -> Result<(Bytes, Room), Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut room = memory.room();
    if body.size_hint().lower() > most as u64 {
        return Err(Unread::TooLarge);
    }
    let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else {
            continue;
        };
        if first.len().max(whole.len()) + data.len() > most {
            return Err(Unread::TooLarge);
        }
        if !room.grow(data.len()) {
            return Err(Unread::NoRoom);
        }
        // Mostly there is one piece. A small one is copied, as it would hold the whole buffer that it was read into.
        if first.is_empty() && whole.is_empty() {
            first = if data.len() < SMALL {
                Bytes::copy_from_slice(&data)
            } else {
                data
            };
        } else {
            if whole.is_empty() {
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok((if whole.is_empty() { first } else { whole.freeze() }, room))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    fn pieces(pieces: &[&'static str]) -> impl Body<Data = Bytes> + Unpin + use<> {
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(piece.as_bytes()))))
            .collect();
        StreamBody::new(futures_util::stream::iter(frames))
    }

    #[tokio::test]
    async fn a_body_is_read_whole_within_its_bound_and_the_bound_of_all() {
        let memory = Memory::new(10);
        let (body, held) = read(pieces(&["ab", "", "cd", "e"]), 5, &memory).await.unwrap();
        assert_eq!((&body[..], memory.held()), (&b"abcde"[..], 5));
        let read_more = |pieces| async { read(pieces, 8, &memory).await.map(|_| ()) };
        assert_eq!(read_more(pieces(&["123456789"])).await, Err(Unread::TooLarge));
        assert_eq!(read_more(pieces(&["123", "456"])).await, Err(Unread::NoRoom));
        assert_eq!(memory.held(), 5);
        drop(held);
        assert_eq!(read_more(pieces(&["123", "456"])).await, Ok(()));
        assert_eq!(memory.held(), 0);
        let known: Full<Bytes> = Full::from("123456789");
        assert_eq!(read(known, 8, &memory).await.unwrap_err(), Unread::TooLarge);
    }
}
