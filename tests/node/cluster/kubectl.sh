#!/bin/bash
# kubectl, inside the node's network namespace.
. "$(dirname "$0")/env.sh"
kubectl "$@"
