//! Leaderships spread over processes: one that leads some elections stands back for others before it takes one more.
use super::clock::Instant;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// The elections that this process leads or tries to.
#[derive(Debug, Clone)]
pub struct Spread {
    taken: Arc<watch::Sender<u32>>,
    stand_back: Duration,
}

/// One of them; it is free again when this is dropped.
#[derive(Debug)]
pub struct Seat {
    taken: Arc<watch::Sender<u32>>,
}

impl Spread {
    /// For each election that it leads, the process waits for so long before it takes another one.
    pub fn new(stand_back: Duration) -> Spread {
        Spread {
            taken: Arc::new(watch::Sender::new(0)),
            stand_back,
        }
    }

    /// A seat in an election whose lease is free since `free_at`; else until when to stand back.
    pub fn seat(&self, free_at: Instant, now: Instant) -> Result<Seat, Instant> {
        let mut turn = free_at;
        let seated = self.taken.send_if_modified(|taken| {
            turn = free_at + self.stand_back * *taken;
            let seated = now >= turn;
            *taken += u32::from(seated);
            seated
        });
        if !seated {
            return Err(turn);
        }
        let taken = Arc::clone(&self.taken);
        Ok(Seat { taken })
    }

    /// Marks every change of how many seats are taken.
    pub fn changes(&self) -> watch::Receiver<u32> {
        self.taken.subscribe()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.send_modify(|taken| *taken = taken.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leads_more_stands_back_for_longer_and_a_seat_comes_back() {
        let spread = Spread::new(Duration::from_secs(2));
        let free = Instant::default() + Duration::from_secs(100);
        let at = |seconds| free + Duration::from_secs(seconds);
        let first = spread.seat(free, at(0)).unwrap();
        assert_eq!(spread.seat(free, at(0)).unwrap_err(), at(2));
        let second = spread.seat(free, at(2)).unwrap();
        assert_eq!(spread.seat(free, at(3)).unwrap_err(), at(4));
        drop((first, second));
        assert!(spread.seat(free, at(0)).is_ok());
    }
}
