//! Outrigger's edges: what touches the network, the disk, the cluster, the clock.
