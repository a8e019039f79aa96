# syntax=docker/dockerfile:1
# The program alone on a base without a shell, run by a user without rights: docker build -t madang .

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY Cargo.toml Cargo.lock diesel.toml schema.graphql ./
COPY .cargo .cargo
COPY benches benches
COPY migrations migrations
COPY src src
# The caches outlive the build; what is needed leaves them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked --bin madang \
    && cp target/release/madang /madang \
    && mkdir -p /empty

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /madang /usr/local/bin/madang
# Mounted volumes take their owner from here.
COPY --from=build --chown=65532:65532 /empty /volume
COPY --from=build --chown=65532:65532 /empty /files
ENV BIND=0.0.0.0:8000 VOLUME_DIR=/volume LOG_FORMAT=json
USER 65532:65532
WORKDIR /volume
VOLUME ["/volume"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["madang", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["madang"]
CMD ["serve"]
