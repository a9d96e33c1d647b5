# One image for each operator: the base and one binary, nothing else.
#   docker build --build-arg BASE=… --build-arg BINARY=target/release/db-probe -t db-probe .
# BASE is a glibc base without a shell, such as gcr.io/distroless/cc-debian12:nonroot; the binary must have been built
# against a glibc that is no newer.
ARG BASE
FROM ${BASE}
ARG BINARY
COPY ${BINARY} /usr/local/bin/operator
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/operator"]
