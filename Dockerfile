# syntax=docker/dockerfile:1

# The images of this project, one stage each. From the root of the sources:
#
#   docker build --target outrigger --tag outrigger/outrigger:0.1.0 .
#   docker build --target runtime   --tag outrigger/runtime:0.1.0 .
#   docker build --target twemproxy --tag outrigger/twemproxy:0.1.0 .

ARG RUST_VERSION=1.95

# Alpine, so that the programs are linked statically and need no file beside them.
FROM rust:${RUST_VERSION}-alpine AS build
# hadolint ignore=DL3018
RUN apk add --no-cache curl musl-dev \
    && rustup component add llvm-tools \
    && cargo install --locked cargo-auditable@0.7.7
WORKDIR /src
COPY . .
# What was downloaded and built stays in the builder's cache; only the programs go into the layer. Each holds the list of what it
# was built of. The webhook is built twice, the second time for what the first was seen to do.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    benches/guided.sh cargo auditable build --locked --profile dist --package outrigger \
    && cargo auditable build --locked --profile dist --package outrigger-runtime \
    && mkdir /out \
    && cp "target/$(rustc --print host-tuple)/dist/outrigger" target/dist/outrigger-runtime /out

# The webhook. The bundled policies lie beside it, for `serve --policies /policies`.
FROM scratch AS outrigger
LABEL org.opencontainers.image.title="outrigger" \
      org.opencontainers.image.description="Puts helper containers into Kubernetes Pods, by policy, at admission time" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/outrigger /outrigger
COPY policies /policies
USER 65532:65532
ENTRYPOINT ["/outrigger"]

# What runs inside helper containers, by itself.
FROM scratch AS runtime
LABEL org.opencontainers.image.title="outrigger-runtime" \
      org.opencontainers.image.description="What runs inside the helper containers that Outrigger injects" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/outrigger-runtime /usr/local/bin/outrigger-runtime
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/outrigger-runtime"]

# The helper of the policy memcached.
FROM debian:12.12-slim AS twemproxy
LABEL org.opencontainers.image.title="twemproxy" \
      org.opencontainers.image.description="Debian's nutcracker with the probe that the policy memcached uses" \
      org.opencontainers.image.licenses="Apache-2.0"
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends nutcracker \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/outrigger-runtime /usr/local/bin/outrigger-runtime
USER 65532:65532
# As process 1 it ignores SIGTERM, and every Pod would take its whole grace period to end.
STOPSIGNAL SIGINT
ENTRYPOINT ["/usr/sbin/nutcracker"]
