//! What a Lease says, and the Leases that a candidate writes.
//!
//! It knows no clock but the wall's, whose times are for people: nothing is decided by them.
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use std::time::Duration;
use thiserror::Error;

/// A Lease at one of its versions.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its resource version, which grows with every write.
    pub version: u64,
    /// Who holds it; nobody, when it was given up.
    pub holder: Option<String>,
    /// How long it is held after a renewal, as the holder says.
    pub duration: Option<Duration>,
    /// When the holder got it, by the holder's wall clock.
    pub acquired: Option<Timestamp>,
    lease: Lease,
}

/// An answer that is no Lease that a candidate can work with.
#[derive(Debug, Error)]
pub enum Unusable {
    #[error("the API server answered with Lease {0:?}")]
    OtherName(String),
    #[error("the API server answered with resource version {0:?}, which is not a number")]
    Version(String),
}

impl Record {
    /// Reads the Lease of this name.
    ///
    /// # Errors
    /// When it has another name, or a version that cannot be compared.
    pub fn read(lease: Lease, name: &str) -> Result<Record, Unusable> {
        let found = lease.metadata.name.as_deref().unwrap_or_default();
        if found != name {
            return Err(Unusable::OtherName(found.to_owned()));
        }
        let version = lease.metadata.resource_version.as_deref().unwrap_or_default();
        let version = version.parse().map_err(|_| Unusable::Version(version.to_owned()))?;
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok());
        Ok(Record {
            version,
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            duration: seconds.map(Duration::from_secs),
            acquired: spec.acquire_time.map(|time| time.0),
            lease,
        })
    }

    /// The Lease with another spec: whatever else it holds stays, and the version makes it fail when somebody was faster.
    fn with(&self, change: impl FnOnce(&mut LeaseSpec)) -> Lease {
        let mut lease = self.lease.clone();
        lease.metadata.managed_fields = None;
        change(lease.spec.get_or_insert_default());
        lease
    }

    /// The Lease when `identity` takes it.
    pub fn acquired_by(&self, identity: &str, seconds: i32) -> Lease {
        let changes_hands = self.holder.as_deref() != Some(identity);
        self.with(|spec| {
            let transitions = spec.lease_transitions.unwrap_or_default();
            let held_by = held_by(identity, seconds);
            spec.lease_transitions = Some(transitions.saturating_add(changes_hands.into()));
            spec.holder_identity = held_by.holder_identity;
            spec.lease_duration_seconds = held_by.lease_duration_seconds;
            spec.acquire_time = held_by.acquire_time;
            spec.renew_time = held_by.renew_time;
        })
    }

    /// The Lease when its holder renews it.
    pub fn renewed(&self, seconds: i32) -> Lease {
        self.with(|spec| {
            spec.renew_time = Some(now());
            spec.lease_duration_seconds = Some(seconds);
        })
    }

    /// The Lease when its holder gives it up, as client-go writes it.
    pub fn released(&self) -> Lease {
        self.with(|spec| {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            spec.acquire_time = Some(now());
            spec.renew_time = Some(now());
        })
    }
}

/// A Lease that is not there yet, when `identity` takes it.
pub fn created_by(name: &str, identity: &str, seconds: i32) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(held_by(identity, seconds)),
    }
}

fn held_by(identity: &str, seconds: i32) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(seconds),
        lease_transitions: Some(0),
        acquire_time: Some(now()),
        renew_time: Some(now()),
        ..LeaseSpec::default()
    }
}

fn now() -> MicroTime {
    MicroTime(Timestamp::now())
}
