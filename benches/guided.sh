#!/usr/bin/env sh
# A build guided by a profile. What the command builds is built with counters in it first, asked what an API server asks, and built
# again for what it was seen to do: a call has less code to fetch, and less of the program is in memory.
#
#   benches/guided.sh cargo build --locked --profile dist --package outrigger
#   benches/guided.sh cargo bench --locked --bench admission
#
# Programs come to a folder of the target, target/x86_64-unknown-linux-gnu/dist/ and the like. Crates of others that are built already
# keep the profile that they were built for; it is about the same each time.
#
# CARGO_BUILD_TARGET, which this machine must be able to run, and RUSTFLAGS count; Cargo's other ways to give flags do not. Needs curl,
# and the llvm-profdata of rustc's LLVM: `rustup component add llvm-tools`. Without a command it only says whether they are there.
set -eu
cd "$(dirname "$0")/.."

host=$(rustc --print host-tuple)
machine=${CARGO_BUILD_TARGET:-$host}
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
counting=$target/counting
profile=$counting/profile
fail() { echo "$0: $*" >&2; exit 1; }

merge=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
[ -x "$merge" ] || merge=$(command -v "llvm-profdata-$llvm") ||
    fail "llvm-profdata of LLVM $llvm is missing; install it: rustup component add llvm-tools"
command -v curl >/dev/null || fail "curl is missing; install it"
[ $# -gt 0 ] || exit 0
case " $*" in *" --target"*) fail "give the target by CARGO_BUILD_TARGET" ;; esac
case $target in *" "*) fail "the path of the target folder has a space: $target" ;; esac
[ -z "${CARGO_ENCODED_RUSTFLAGS:-}" ] || fail "give flags by RUSTFLAGS, not by CARGO_ENCODED_RUSTFLAGS"
# A server says where it listens in a line of level info.
unset RUST_LOG

# Only what is built for the machine gets the flags, not what only builds it.
export CARGO_BUILD_TARGET="$machine"
own=${RUSTFLAGS:-}
# Of an earlier command.
rm -f "$counting/$machine"/*/outrigger "$counting/$machine"/*/deps/admission-*
# What the command would run, it only builds the first time.
runner=CARGO_TARGET_$(echo "$machine" | tr 'a-z-' 'A-Z_')_RUNNER
env "CARGO_TARGET_DIR=$counting" "RUSTFLAGS=$own -Cprofile-generate=$profile" "$runner=true" "$@"

server=
asked=$(mktemp -d)
trap '[ -z "$server" ] || kill "$server" || true; rm -rf "$asked"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
rm -rf "$profile"
asks='"outrigger.dev/inject":"log-saver"'
change() { sed "s|$asks,|$1|" tests/fixtures/review.json >"$asked/$2.json"; }
grep -q "$asks," tests/fixtures/review.json || fail "the Pod of tests/fixtures/review.json asks for no log-saver"
change "" nothing
change "$asks," log-saver
change "$asks,\"log-saver.outrigger.dev/path\":\"/var/log/nginx\"," parameter
change '"outrigger.dev/inject":"log-saver, memcached, nginx-metrics","memcached.outrigger.dev/servers":"a:11211, b:11211",' several

# Starts a server, asks it for a while over connections that stay open, and ends it: then it writes what it counted.
ask() {
    name=$1; shift
    log=$asked/$name.log
    : >"$log"
    LLVM_PROFILE_FILE=$profile/$name-%p.profraw "$@" 2>"$log" &
    server=$!
    left=600
    until at=$(sed -n 's/.*listen=[^ ]*:\([0-9]*\).*/\1/p' "$log" | head -n 1) && [ -n "$at" ]; do
        left=$((left - 1))
        { [ $left -gt 0 ] && kill -0 "$server" 2>/dev/null; } || fail "$name does not serve: $(cat "$log")"
        sleep 0.1
    done
    for review in nothing log-saver parameter several; do
        curl --silent --show-error --fail-early --fail --noproxy localhost --cacert "$asked/certs/ca.crt" \
            --header 'content-type: application/json' --data-binary "@$asked/$review.json" --output "$asked/$name.$review" \
            "https://localhost:$at/mutate?timeout=5s&call=[1-2000]" || fail "$name did not answer: $(cat "$log")"
    done
    kill "$server"
    wait "$server" || true
    server=
    [ -n "$(find "$profile" -name "$name-*.profraw")" ] || fail "$name wrote no profile"
}

built() { find "$counting/$machine" -maxdepth 3 -type f -name "$1" -perm -100 | head -n 1; }
program=$(built outrigger)
[ -n "$program" ] || fail "the command builds no outrigger"
ask outrigger "$program" serve --listen 127.0.0.1:0 --admin 127.0.0.1:0 --certs "$asked/certs" --policies policies \
    --namespaces tests/fixtures/namespace.json
for review in log-saver parameter several; do
    grep -q '"patch":' "$asked/outrigger.$review" || fail "nothing was injected: $(cat "$asked/outrigger.$review")"
done
# What a benchmark compares it with.
beside=$(built 'admission-*')
[ -z "$beside" ] || ask beside "$beside" --serve-no-op "$asked/certs"

# Sparse: what was never called is built as it would be without a profile, not for size.
"$merge" merge --sparse --output "$profile/merged.profdata" "$profile"/*.profraw
guided="$own -Cprofile-use=$profile/merged.profdata"
case $machine in
    # LLD puts what is hot together only when it is told to; GNU ld does it anyway, and ignores this.
    *-linux-*) guided="$guided -Clink-arg=-Wl,-z,keep-text-section-prefix" ;;
esac
env "CARGO_TARGET_DIR=$target" "RUSTFLAGS=$guided" "$@"
