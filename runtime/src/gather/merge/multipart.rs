//! Answers as multipart/mixed (RFC 2046): bodies go in as they are.
use crate::gather::leaf::Part;
use rand::RngExt;

/// The body and its content type. Each part has `outrigger-shard`, `outrigger-status`, the leaf's own headers, and its body.
pub fn mixed<'a>(parts: impl Iterator<Item = (&'a str, &'a Part)>) -> (Vec<u8>, String) {
    // Nobody who writes a body can know it.
    let boundary = format!("{:032x}", rand::rng().random::<u128>());
    let mut out = Vec::new();
    for (shard, part) in parts {
        let status = part.status.as_u16();
        out.extend_from_slice(
            format!("--{boundary}\r\noutrigger-shard: {shard}\r\noutrigger-status: {status}\r\n").as_bytes(),
        );
        for (name, value) in &part.headers {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&part.body);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (out, format!("multipart/mixed; boundary={boundary}"))
}
