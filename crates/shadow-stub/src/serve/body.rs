//! A call's body, read within what all bodies together may take.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes for the bodies of all calls, from their first byte until their calls are recorded. A permit is a byte.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// Why a body is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than one may be.
    TooLong,
    /// Others take all the room.
    NoRoom,
    /// It ended early.
    Broken,
}

/// A body that keeps its room until the last reference to it is gone.
struct Held {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Room {
    /// For so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Reads a body of at most `most` bytes. Room is taken for what came, not for what was promised.
    pub(super) async fn read<B: Body<Data = Bytes> + Unpin>(&self, mut body: B, most: usize) -> Result<Bytes, Unread> {
        if body.size_hint().lower() > most as u64 {
            return Err(Unread::TooLong);
        }
        let (mut bytes, mut room) = (BytesMut::new(), None::<OwnedSemaphorePermit>);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
            if bytes.len() + data.len() > most {
                return Err(Unread::TooLong);
            }
            let length = u32::try_from(data.len()).map_err(|_| Unread::TooLong)?;
            let more = self.0.clone().try_acquire_many_owned(length).map_err(|_| Unread::NoRoom)?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Bytes::from_owner(Held { bytes: bytes.freeze(), _room: room }))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn bodies_share_their_room_and_give_it_back_with_their_last_reference() {
        let room = Room::new(1_000);
        let read = |length: usize| room.read(Full::new(Bytes::from(vec![b'x'; length])), 800);
        assert_eq!(read(801).await, Err(Unread::TooLong));
        let first = read(800).await.unwrap();
        assert_eq!(read(201).await, Err(Unread::NoRoom));
        let (second, part) = (read(200).await.unwrap(), first.slice(..1));
        assert_eq!((first.len(), second.len()), (800, 200));
        drop((first, second));
        assert_eq!(read(201).await, Err(Unread::NoRoom), "a part of the first is held");
        drop(part);
        assert!(read(800).await.is_ok());
    }
}
