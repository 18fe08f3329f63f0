#!/bin/sh
# Runs the tests on a machine without .NET: the test program carries its own runner. Arguments go to it, such as --filter "FullyQualifiedName~Gemm".
set -eu
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/bin/Patching.Tests" --no-ansi --results-directory "${TMPDIR:-/tmp}" "$@"
