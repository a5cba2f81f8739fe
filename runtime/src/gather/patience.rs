//! A connection that gives up on a client that sends the head of a request too slowly, or reads nothing of an answer.
//!
//! hyper's own timer for heads also runs between requests, where a client may be quiet for long.
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// What the connection and its service know of each other.
#[derive(Debug)]
pub struct Patience {
    timeout: Duration,
    /// A head is awaited, or has begun.
    awaits_head: AtomicBool,
    /// Nothing of the next head has come.
    idle: AtomicBool,
}

impl Patience {
    /// The head of the first request must come within `timeout`.
    pub fn new(timeout: Duration) -> Arc<Patience> {
        Arc::new(Patience {
            timeout,
            awaits_head: AtomicBool::new(true),
            idle: AtomicBool::new(false),
        })
    }

    /// A request is served.
    pub fn head_has_come(&self) {
        self.awaits_head.store(false, Ordering::Relaxed);
    }

    /// The next request may take its time to begin.
    pub fn answered(&self) {
        self.idle.store(true, Ordering::Relaxed);
        self.awaits_head.store(true, Ordering::Relaxed);
    }
}

/// A connection with patience.
#[derive(Debug)]
pub struct Patient {
    stream: TcpStream,
    patience: Arc<Patience>,
    reading: Pin<Box<Sleep>>,
    writing: Pin<Box<Sleep>>,
    stalled: bool,
}

impl Patient {
    /// Over a connection that has just been accepted.
    pub fn new(stream: TcpStream, patience: Arc<Patience>) -> Patient {
        Patient {
            stream,
            reading: Box::pin(sleep(patience.timeout)),
            writing: Box::pin(sleep(patience.timeout)),
            stalled: false,
            patience,
        }
    }

    fn wait_for_head(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let waits = self.patience.awaits_head.load(Ordering::Relaxed) && !self.patience.idle.load(Ordering::Relaxed);
        if !waits {
            return Poll::Pending;
        }
        ready!(self.reading.as_mut().poll(context));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// What was written, or for how long nothing was.
    fn written<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = false;
            return written;
        }
        if !self.stalled {
            self.stalled = true;
            self.writing.as_mut().reset(Instant::now() + self.patience.timeout);
        }
        ready!(self.writing.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.wait_for_head(context).map(Err),
            Poll::Ready(result) => {
                // The next request begins: from here on its head must come.
                if buffer.filled().len() > before && self.patience.idle.swap(false, Ordering::Relaxed) {
                    let timeout = self.patience.timeout;
                    self.reading.as_mut().reset(Instant::now() + timeout);
                }
                Poll::Ready(result)
            }
        }
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.written(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.written(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
