#!/bin/sh
# Runs the tests on a machine without .NET: the test program carries its own runner, which may not report to its makers. Arguments go to it, such as
# --filter "FullyQualifiedName~Gemm".
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export TESTINGPLATFORM_TELEMETRY_OPTOUT=1 TESTINGPLATFORM_NOBANNER=1
exec "$here/bin/Patching.Tests" --no-ansi --progress off --results-directory "${TMPDIR:-/tmp}" "$@"
