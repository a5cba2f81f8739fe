//! Real memcached servers, and a client that speaks their text protocol.
use outrigger_harness::keeper::{Kept, Program};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Starts a server at a port of all loopback addresses, and waits for it.
pub fn memcached(program: &Path, port: u16) -> Kept {
    let port_text = port.to_string();
    let arguments = [
        "-l",
        "127.0.0.1,127.0.0.2",
        "-p",
        &port_text,
        "-U",
        "0",
        "-u",
        "nobody",
        "-m",
        "16",
    ];
    let server = Program {
        path: program,
        arguments: arguments.map(str::to_owned).to_vec(),
        stdout: Stdio::null(),
        stderr: Stdio::inherit(),
        scratch: None,
    };
    let server = server.start().unwrap();
    crate::machine::eventually("memcached listens", || Client::connect(port));
    server
}

/// A connection to a memcached server, or to what looks like one.
pub struct Client {
    connection: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(port: u16) -> Option<Client> {
        let connection = TcpStream::connect(("127.0.0.1", port)).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Some(Client {
            connection: BufReader::new(connection),
        })
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.connection.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn send(&mut self, text: &str) {
        self.connection.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The server's answer: `STORED`, or an error.
    pub fn set(&mut self, key: &str, value: &str) -> String {
        self.send(&format!("set {key} 0 0 {}\r\n{value}\r\n", value.len()));
        self.line()
    }

    /// The value; an error is an error, and a key that is not there is `Ok(None)`.
    pub fn get(&mut self, key: &str) -> Result<Option<String>, String> {
        self.send(&format!("get {key}\r\n"));
        match self.line() {
            end if end == "END" => Ok(None),
            line if line.starts_with("VALUE ") => {
                let value = self.line();
                assert_eq!(self.line(), "END");
                Ok(Some(value))
            }
            error => Err(error),
        }
    }

    /// How many keys a server holds.
    pub fn items(&mut self) -> usize {
        self.send("stats\r\n");
        let mut items = None;
        loop {
            match self.line() {
                end if end == "END" => return items.unwrap(),
                line => {
                    items = line
                        .strip_prefix("STAT curr_items ")
                        .map(|count| count.parse().unwrap())
                        .or(items)
                }
            }
        }
    }
}
