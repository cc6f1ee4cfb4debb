//! Encoded messages for the fuzz targets, and decoding as receivers do it.

use super::wire::{Ack, Message as _, Piece};
use bytes::Bytes;
use fabric_backend::lane::{FromNode, ToNode};
use fabric_types::{id::JobId, job::TaskId};

pub(crate) fn messages() -> Vec<Vec<u8>> {
    let job = JobId::from_parts(1, 2);
    let messages = [
        ToNode::Abort { job: job.clone(), task: TaskId { stage: 0, index: 7 }, attempt: 1 },
        ToNode::AbortJob { job },
        ToNode::Released,
    ];
    let encoded = messages.iter().filter_map(|m| m.encode().ok());
    let pieces = encoded.clone().map(|body| {
        let total = u32::try_from(body.len()).unwrap_or(u32::MAX);
        Piece { id: (1, 2), index: 0, pieces: 1, total, body }.encode()
    });
    encoded.chain(pieces).map(|bytes| bytes.to_vec()).collect()
}

pub(crate) fn decode(bytes: &[u8]) {
    let body = Piece::decode(Bytes::copy_from_slice(bytes)).map(|piece| piece.body);
    let _ = Ack::decode(bytes);
    for body in body.iter().map(AsRef::as_ref).chain([bytes]) {
        let _ = ToNode::decode(body);
        let _ = FromNode::decode(body);
    }
}
