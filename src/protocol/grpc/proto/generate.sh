#!/bin/sh
# Writes generated/ from the .proto files: `npm run generate:grpc`, which puts buf and the ts-proto plugin on the PATH.
set -eu
cd "$(dirname "$0")/.."
buf generate proto --template buf.gen.yaml
descriptors=$(buf build proto --as-file-descriptor-set --exclude-source-info -o - | base64 -w 0)
cat >generated/descriptor-set.ts <<END
// Written by proto/generate.sh. DO NOT EDIT.

/** A google.protobuf.FileDescriptorSet of the .proto files, for server reflection. */
export const FILE_DESCRIPTOR_SET_BASE64 =
  "$descriptors";
END
