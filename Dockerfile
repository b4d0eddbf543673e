# Every image of Shadowline: docker build --target replayer -t shadowline/replayer .
#
#   manifests -> dependencies -> build -> capture-agent, replayer, comparator, shadow-stub, shadowctl, demo-shop
#
# A change of code builds Shadowline's own crates only: `dependencies` is a layer that the manifests alone decide about.
# PROFILE is the cargo profile: `dist` for what runs for long, `release` or `dev` for what shall be there soon.

# With a C compiler, make and perl: librdkafka and OpenSSL are built from source and linked in.
FROM rust:1.95-bookworm AS toolchain
# Nothing of a layer's is built a second time, and nobody debugs in an image.
ENV CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=false
WORKDIR /src

# What decides which dependencies are built and how: manifests, the lock file, and that there are targets, but not their code.
FROM toolchain AS manifests
COPY . .
RUN find . -type f -regextype posix-extended ! -regex '.*/(Cargo\.(toml|lock)|\.cargo/config\.toml)' \
        ! -regex '.*/src/(lib|main|bin/[^/]+)\.rs' ! -regex '.*/benches/[^/]+\.rs' ! -regex '.*/tests/([^/]+|[^/]+/main)\.rs' -delete \
    && rm -rf tests/tests \
    && find . -name '*.rs' -exec sh -c 'for file; do echo "fn main() { }" > "$file"; done' sh {} + \
    && find . -type d -empty -delete

FROM toolchain AS dependencies
ARG PROFILE=dist
ARG PACKAGES="-p capture-agent -p replayer -p comparator -p shadow-stub -p shadowctl -p shadow-shop"
COPY --from=manifests /src .
RUN cargo build --locked --profile "$PROFILE" --bins $PACKAGES

FROM dependencies AS build
COPY . .
# The files of a clone are older than what was built in their place just now. Names of functions stay for backtraces; numbers of lines, four
# fifths of a binary, go.
RUN find . -path ./target -prune -o -name '*.rs' -exec touch {} + \
    && cargo build --locked --profile "$PROFILE" --bins $PACKAGES \
    && cd "target/$(test "$PROFILE" = dev && echo debug || echo "$PROFILE")" \
    && install -D -t /out capture-agent replayer comparator shadow-stub shadowctl shadow-shop \
    && strip --strip-debug /out/*

# Nothing but libc and the public authorities is needed, of which the slim image has none: without them no HTTP client starts, not even one that
# only speaks HTTP without TLS. The root filesystem may be read-only; what a service writes goes to /var/lib/shadowline.
FROM debian:bookworm-slim AS runtime
COPY --from=toolchain /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
RUN groupadd --system --gid 10001 shadowline \
    && useradd --system --uid 10001 --gid shadowline --no-create-home --shell /usr/sbin/nologin shadowline \
    && install -d -o shadowline -g shadowline -m 0700 /var/lib/shadowline
USER 10001:10001
WORKDIR /var/lib/shadowline
STOPSIGNAL SIGTERM

# Services answer `--health` themselves: ready, or why not. Reached from inside only, unless told otherwise.
FROM runtime AS service
ENV SHADOW_ADMIN_LISTEN=127.0.0.1:9464

FROM service AS capture-agent
COPY --from=build /out/capture-agent /usr/local/bin/
ENV SHADOW_CAPTURE_ACCOUNT=/var/lib/shadowline
VOLUME /var/lib/shadowline
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["capture-agent", "--health"]
ENTRYPOINT ["capture-agent"]

FROM service AS replayer
COPY --from=build /out/replayer /usr/local/bin/
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["replayer", "--health"]
ENTRYPOINT ["replayer"]

FROM service AS comparator
COPY --from=build /out/comparator /usr/local/bin/
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["comparator", "--health"]
ENTRYPOINT ["comparator"]

FROM service AS shadow-stub
COPY --from=build /out/shadow-stub /usr/local/bin/
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["shadow-stub", "--health"]
ENTRYPOINT ["shadow-stub"]

FROM runtime AS shadowctl
COPY --from=build /out/shadowctl /usr/local/bin/
ENTRYPOINT ["shadowctl"]

# The demo's service in both builds, its partners and its clients.
FROM runtime AS demo-shop
COPY --from=build /out/shadow-shop /usr/local/bin/
ENTRYPOINT ["shadow-shop"]
