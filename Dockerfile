# The image: one static executable, and nothing else.
#
#   docker build --tag berth:0.1.0 .                           or buildah bud, podman build
#   docker build --platform linux/arm64 --tag berth:0.1.0 .    cross-built; its heap image is made in QEMU's user mode
#   docker build --target sriov-cni --tag sriov-cni:0.1.0 .    in place of sriov-cni's image (rdma-cni: likewise)
#
# docs/install.md says how it is used.

ARG NODE_IMAGE=node:24-bookworm-slim
ARG RUST_IMAGE=rust:1.95-bookworm

FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS node

FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends \
    gcc gcc-aarch64-linux-gnu libc6-dev libc6-dev-arm64-cross make musl-tools qemu-user-static
COPY --from=node /usr/local/bin/node /usr/local/bin/
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && \
    rustup target add "$(uname -m)-unknown-linux-musl" aarch64-unknown-linux-gnu
WORKDIR /source
COPY package.json package-lock.json ./
RUN npm ci
COPY . .
ARG BUILDARCH TARGETARCH
RUN if [ "$TARGETARCH" = "$BUILDARCH" ]; then \
        npm run build && cp dist/bin/berth /berth; \
    elif [ "$TARGETARCH" = arm64 ]; then \
        npm run build -- --target aarch64-unknown-linux-gnu && cp dist/aarch64-unknown-linux-gnu/bin/berth /berth; \
    else \
        echo "from $BUILDARCH Berth can be built for arm64 only, not for $TARGETARCH" >&2; exit 1; \
    fi

FROM scratch AS berth
COPY --from=build /berth /berth
ENTRYPOINT ["/berth", "install", "--host=/host", "--stay"]

# What sriov-network-operator starts in the place of sriov-cni and rdma-cni, as init containers, with --no-sleep.
FROM berth AS sriov-cni
ENTRYPOINT ["/berth", "install", "--cni-bin-dir=/host/opt/cni/bin", "--only=sriov", "--replace=sriov", "--stay"]

FROM berth AS rdma-cni
ENTRYPOINT ["/berth", "install", "--cni-bin-dir=/host/opt/cni/bin", "--only=rdma", "--replace=rdma", "--stay"]

FROM berth
