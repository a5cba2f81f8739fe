//! The guard in a real API server: Pods that come while Outrigger is away, and changes of Pods that are there.
//!
//! Its objects are made by the code that the controller runs. Under names of their own, they are in effect for the
//! namespaces of one test ([`stage::Guarded`]).
mod changes;
mod forgery;
mod many;
mod outage;
mod stage;
mod truth_table;
