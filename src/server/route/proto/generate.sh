#!/bin/sh
# Writes generated/ from the .proto file: `npm run generate:route`, which puts buf and the ts-proto plugin on the PATH.
set -eu
cd "$(dirname "$0")/.."
buf generate proto --template buf.gen.yaml
