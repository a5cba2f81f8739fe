//! A name server over UDP with A records that a test changes: what it does not know does not exist (NXDOMAIN), and it can be told to
//! fail (SERVFAIL).
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

type Records = Arc<Mutex<BTreeMap<String, Option<Vec<Ipv4Addr>>>>>;

/// A running name server; it ends when this is dropped.
pub struct Names {
    pub address: String,
    records: Records,
    serving: AbortHandle,
}

impl Names {
    pub async fn start() -> Names {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let records = Records::default();
        let known = Arc::clone(&records);
        let serving = tokio::spawn(async move {
            let mut question = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut question).await {
                if let Some(answer) = answer(&question[..length], &known) {
                    let _ = socket.send_to(&answer, client).await;
                }
            }
        });
        Names {
            address,
            records,
            serving: serving.abort_handle(),
        }
    }

    /// The name has these addresses from now on.
    pub fn set(&self, name: &str, addresses: &[Ipv4Addr]) {
        self.records
            .lock()
            .unwrap()
            .insert(name.to_owned(), Some(addresses.to_vec()));
    }

    /// The name does not exist any more.
    pub fn remove(&self, name: &str) {
        self.records.lock().unwrap().remove(name);
    }

    /// Questions for the name fail from now on.
    pub fn fail(&self, name: &str) {
        self.records.lock().unwrap().insert(name.to_owned(), None);
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// RFC 1035: the head, the question as it came, and A records that point to its name.
fn answer(question: &[u8], records: &Records) -> Option<Vec<u8>> {
    let (mut labels, mut place) = (Vec::new(), 12);
    loop {
        let length = usize::from(*question.get(place)?);
        place += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(place..place + length)?).to_lowercase());
        place += length;
    }
    let is_a = question.get(place..place + 2)? == [0, 1];
    let records = records.lock().unwrap();
    let (addresses, code) = match records.get(&labels.join(".")) {
        Some(Some(addresses)) => (addresses.as_slice(), 0),
        Some(None) => (&[][..], 2),
        None => (&[][..], 3),
    };
    let addresses = if is_a { addresses } else { &[] };
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([0x84, code, 0, 1, 0, u8::try_from(addresses.len()).ok()?, 0, 0, 0, 0]);
    answer.extend(question.get(12..place + 4)?);
    for address in addresses {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
