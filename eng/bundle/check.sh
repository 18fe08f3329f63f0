#!/bin/sh
# Checks a machine: what it has, the self-test on every device there is, the tests. Everything runs even if something fails; the exit code says whether anything did.
set -u
here=$(cd "$(dirname "$0")" && pwd)
failed=""

step() {
    name=$1
    shift
    echo "== $name"
    "$@" || failed="$failed '$name'"
    echo
}

step "info" "$here/patching" info
if "$here/patching" info | grep -q '^cuda *none found$'; then
    echo "== selftest cuda: no CUDA device here"
    echo
else
    step "selftest cuda" "$here/patching" selftest --device cuda
fi
step "selftest cpu" "$here/patching" selftest --device cpu
step "selftest simulator" "$here/patching" selftest --device simulator
step "tests" "$here/run-tests.sh"

if [ -n "$failed" ]; then
    echo "check.sh: FAILED:$failed"
    exit 1
fi
echo "check.sh: everything passed"
