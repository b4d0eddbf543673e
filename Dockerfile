# One image recipe for the three services and shadowctl: docker build --target replayer .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --profile dist --locked -p capture-agent -p replayer -p comparator -p shadowctl \
    && mkdir /out && cp target/dist/capture-agent target/dist/replayer target/dist/comparator target/dist/shadowctl /out/

FROM debian:bookworm-slim AS base
RUN useradd --system --uid 10001 shadowline
USER 10001

FROM base AS capture-agent
COPY --from=build /out/capture-agent /usr/local/bin/
ENTRYPOINT ["capture-agent"]

FROM base AS replayer
COPY --from=build /out/replayer /usr/local/bin/
ENTRYPOINT ["replayer"]

FROM base AS comparator
COPY --from=build /out/comparator /usr/local/bin/
ENTRYPOINT ["comparator"]

FROM base AS shadowctl
COPY --from=build /out/shadowctl /usr/local/bin/
ENTRYPOINT ["shadowctl"]
