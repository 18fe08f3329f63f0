#!/usr/bin/env bash
# One command for the day a GPU is there: publishes the engine for a machine without .NET and checks it on this machine's GPU. For a GPU elsewhere, bring it
# artifacts/patching-linux-x64.tar.xz (eng/bundle.sh makes it), unpack it there and run patching/gpu-check.sh.
# Usage: eng/gpu-check.sh [arguments of eng/bundle/gpu-check.sh]
set -euo pipefail
cd "$(dirname "$0")/.."

eng/bundle.sh
target=$(mktemp -d "${TMPDIR:-/tmp}/patching-gpu-check.XXXXXX")
trap 'rm -rf "$target"' EXIT
tar -xf artifacts/patching-linux-x64.tar.xz -C "$target"

today=$(date -u +%Y-%m-%d)
gpu=none
if command -v nvidia-smi > /dev/null; then gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1 | tr -cs 'A-Za-z0-9\n' '-' | tr '[:upper:]' '[:lower:]'); fi
# A rehearsal on the processor says nothing about the GPU.
case " $* " in *" --device cpu "*) gpu=none ;; esac
status=0
"$target/patching/gpu-check.sh" --out artifacts/gpu-check --data "$PWD/../shared" "$@" || status=$?
if [ -f artifacts/gpu-check/report.md ] && [ "$gpu" != none ]; then
    cp artifacts/gpu-check/report.md "Patching.Benchmarks/results/$gpu-$today.md"
    echo "Patching.Benchmarks/results/$gpu-$today.md"
fi
exit $status
