# The image that a release publishes: hub and gateway are the same program, and what to be is its first argument. It is built
# by goreleaser, which puts the programs of each platform beside this file.
FROM --platform=$BUILDPLATFORM busybox:1.37 AS directories
RUN mkdir -p -m 0700 /made/var/lib/palette-gateway /made/var/lib/palette-hub && chown -R 65532:65532 /made/var/lib/palette-*

# Certificate authorities and a user that is nobody, and nothing that could be run beside the program.
FROM gcr.io/distroless/static-debian12:nonroot
ARG TARGETPLATFORM
# A volume that is mounted there gets the owner and the mode.
COPY --from=directories /made/ /
COPY $TARGETPLATFORM/terraform-provider-palette_v* /usr/local/bin/terraform-provider-palette
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/terraform-provider-palette"]
