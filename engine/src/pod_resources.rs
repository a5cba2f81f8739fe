//! Whether a Pod's own `spec.resources` still hold once helpers are added, reckoned as the API server does (KEP-2837).
//!
//! It knows no plan: containers in the order in which they start, and whether the sum fits.

use serde_json::Value;

use crate::quantity;

/// When a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    /// An init container: before the next one.
    Before,
    /// A native sidecar: from its place in the list on.
    FromThere,
    /// One of `spec.containers`.
    Main,
}

/// A container's share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share<'a> {
    pub(crate) runs: Runs,
    /// The container's `resources`.
    pub(crate) resources: &'a Value,
}

impl Share<'_> {
    fn limit(&self, resource: &str) -> Option<i128> {
        quantity::of(&self.resources["limits"][resource])
    }

    /// A limit without a request is one.
    fn request(&self, resource: &str) -> i128 {
        let request = quantity::of(&self.resources["requests"][resource]);
        request.or_else(|| self.limit(resource)).unwrap_or(0)
    }
}

/// The field of `own`, the Pod's `spec.resources`, that is too small for these containers, which come in the Pod's order.
pub(crate) fn exceeded(own: &Value, containers: &[Share<'_>]) -> Option<String> {
    let amounts = |list: &str| own[list].as_object().into_iter().flatten();
    for (resource, amount) in amounts("requests") {
        if quantity::of(amount).is_some_and(|amount| most(containers, |share| share.request(resource)) > amount) {
            return Some(format!("requests.{resource}"));
        }
    }
    for (resource, amount) in amounts("limits") {
        let Some(amount) = quantity::of(amount) else { continue };
        let exceeds = |wanted: i128| wanted > amount;
        let mut main = containers.iter().filter(|share| share.runs == Runs::Main);
        // Where the Pod itself requests nothing, the API server has it request what its containers do.
        let requested =
            own["requests"][resource].is_null() && exceeds(most(containers, |share| share.request(resource)));
        let together = || most(containers, |share| share.limit(resource).unwrap_or(0));
        if requested
            || main.any(|share| share.limit(resource).is_some_and(exceeds))
            || (resource.starts_with("hugepages-") && exceeds(together()))
        {
            return Some(format!("limits.{resource}"));
        }
    }
    None
}

/// The most that is in use at one time: while an init container runs, or after the last one.
fn most(containers: &[Share<'_>], amount: impl Fn(&Share<'_>) -> i128) -> i128 {
    let (mut running, mut most) = (0, 0);
    for share in containers {
        match share.runs {
            Runs::Before => most = most.max(running + amount(share)),
            Runs::FromThere | Runs::Main => running += amount(share),
        }
    }
    most.max(running)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(own: Value, containers: &[(Runs, Value)]) -> Option<String> {
        let shares: Vec<Share<'_>> = containers
            .iter()
            .map(|(runs, resources)| Share { runs: *runs, resources })
            .collect();
        exceeded(&own, &shares)
    }

    #[test]
    fn what_runs_at_one_time_must_fit_into_the_requests() {
        let cpu = |amount: &str| json!({"requests": {"cpu": amount}});
        let rows = [
            (vec![(Runs::Main, cpu("100m"))], None),
            (
                vec![(Runs::Main, cpu("60m")), (Runs::Main, cpu("60m"))],
                Some("requests.cpu"),
            ),
            (
                vec![(Runs::FromThere, cpu("60m")), (Runs::Main, cpu("60m"))],
                Some("requests.cpu"),
            ),
            (vec![(Runs::Before, cpu("60m")), (Runs::Main, cpu("60m"))], None),
            (vec![(Runs::Before, cpu("60m")), (Runs::FromThere, cpu("60m"))], None),
            (
                vec![(Runs::FromThere, cpu("60m")), (Runs::Before, cpu("60m"))],
                Some("requests.cpu"),
            ),
            (
                vec![(Runs::Main, json!({"limits": {"cpu": "0.2"}}))],
                Some("requests.cpu"),
            ),
            (
                vec![(Runs::Main, json!(null)), (Runs::Main, json!({"requests": null}))],
                None,
            ),
        ];
        for (containers, expected) in rows {
            let own = json!({"requests": {"cpu": "100m"}, "limits": null});
            assert_eq!(of(own, &containers).as_deref(), expected, "{containers:?}");
        }
    }

    #[test]
    fn a_container_may_not_have_a_higher_limit_than_the_pod() {
        let memory = |amount: &str| json!({"limits": {"memory": amount}, "requests": {"memory": "1Mi"}});
        let own = || json!({"limits": {"memory": "64Mi"}});
        assert_eq!(
            of(own(), &[(Runs::Main, memory("64Mi")), (Runs::Main, memory("64Mi"))]),
            None
        );
        assert_eq!(
            of(own(), &[(Runs::Main, memory("65Mi"))]).as_deref(),
            Some("limits.memory")
        );
        assert_eq!(of(own(), &[(Runs::FromThere, memory("65Mi"))]), None);
    }

    #[test]
    fn a_pod_with_a_limit_alone_requests_what_its_containers_do() {
        let memory = |amount: &str| json!({"limits": {"memory": amount}});
        let both = [(Runs::FromThere, memory("40Mi")), (Runs::Main, memory("40Mi"))];
        assert_eq!(of(memory("80Mi"), &both), None);
        assert_eq!(of(memory("64Mi"), &both).as_deref(), Some("limits.memory"));
    }

    #[test]
    fn limits_of_huge_pages_are_added_up() {
        let huge = |amount: &str| json!({"limits": {"hugepages-2Mi": amount}});
        let both = [(Runs::FromThere, huge("2Mi")), (Runs::Main, huge("2Mi"))];
        assert_eq!(of(huge("4Mi"), &both), None);
        assert_eq!(of(huge("2Mi"), &both).as_deref(), Some("limits.hugepages-2Mi"));
    }

    #[test]
    fn what_is_no_amount_does_no_harm() {
        let own = json!({"requests": {"cpu": {}, "memory": "many"}, "limits": ["a"]});
        assert_eq!(of(own, &[(Runs::Main, json!({"requests": 1}))]), None);
        assert_eq!(of(json!("odd"), &[]), None);
    }
}
