#!/usr/bin/env bash
# Publishes the command line, the tests and the benchmarks into one archive for a machine that has neither .NET nor the sources.
# Usage: eng/bundle.sh [output folder, default artifacts]
set -euo pipefail
cd "$(dirname "$0")/.."

runtime=linux-x64
limit_mib=60
output=$(realpath -m "${1:-artifacts}")
archive=$output/patching-$runtime.tar.xz
mkdir -p "$output"
staging=$(mktemp -d "$output/bundle.XXXXXX")
trap 'rm -rf "$staging"' EXIT
bin=$staging/patching/bin

# All three programs go into one folder and share one copy of the runtime. The command line comes last: its ReadyToRun assemblies, which start fast, replace
# those that the tests brought. Nothing is trimmed: ILGPU compiles kernels through reflection.
publish() {
    dotnet publish "$1" -c Release -r $runtime --self-contained -o "$bin" -v quiet -p:DebugType=none "${@:2}"
}
publish Patching.Benchmarks
publish Patching.Tests
publish Patching.Cli -p:PublishReadyToRun=true

cp eng/bundle/README.txt eng/bundle/*.sh eng/peer_torch.py "$staging/patching/"
ln -s bin/patching "$staging/patching/patching"
chmod +x "$staging/patching/"*.sh

# Same inputs, same archive: names in order, no owners, one time.
tar --directory "$staging" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}" -c patching \
    | xz -T0 -6 > "$archive.partial"
mv "$archive.partial" "$archive"

bytes=$(stat -c %s "$archive")
echo "$archive: $((bytes / 1048576)) MiB, $(du -sm "$staging/patching" | cut -f1) MiB unpacked"
if ((bytes > limit_mib * 1048576)); then
    echo "eng/bundle.sh: the archive is larger than $limit_mib MiB; look for what was added to $bin" >&2
    exit 1
fi
