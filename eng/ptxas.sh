#!/usr/bin/env bash
# Assembles every kernel of the CUDA engine with NVIDIA's own assembler for the GPUs it is meant for (sm_80 and sm_90, or sm_90a alone), and says what each needs.
# Where there is no ptxas (it comes with the CUDA toolkit; no driver and no GPU are needed), says so in a line and succeeds.
# Usage: eng/ptxas.sh [ptxas]       default: the one in PATH, else the newest below /usr/local
set -euo pipefail
cd "$(dirname "$0")/.."

ptxas=${1:-$(command -v ptxas || find /usr/local -maxdepth 3 -path '*/cuda*/bin/ptxas' 2> /dev/null | sort -V | tail -n 1)}
if [ -z "$ptxas" ]; then
    echo "eng/ptxas.sh: no ptxas here, nothing was assembled; it comes with the CUDA toolkit, 12.0 or newer"
    exit 0
fi
"$ptxas" --version | tail -n 2

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
PATCHING_PTX_FOLDER=$folder dotnet test -c Release Patching.Tests --filter "FullyQualifiedName~CudaKernelLintTests.IsCleanPtx" > "$folder/log" 2>&1 \
    || { cat "$folder/log"; exit 1; }

failed=0
for file in "$folder"/*.ptx; do
    name=$(basename "$file" .ptx)
    architectures="sm_80 sm_90"
    if grep -q '^\.target sm_90a' "$file"; then architectures=sm_90a; fi
    for architecture in $architectures; do
        if ! "$ptxas" -v --warn-on-spills -arch="$architecture" "$file" -o "$folder/cubin" > "$folder/said" 2>&1; then
            echo "$name $architecture: REFUSED"
            failed=1
        elif grep -qE '[1-9][0-9]* bytes spill|serialized|setmaxnreg.*ignored' "$folder/said"; then
            # "wgmma ... serialized": the assembler could not leave products under way, because something touches their registers. "setmaxnreg ... ignored": nobody gets
            # registers that another gave up.
            echo "$name $architecture: SPILLS OR WAITS"
            failed=1
        else
            echo "$name $architecture: $(grep -oE 'Used [0-9]+ registers' "$folder/said" | head -n 1)"
            continue
        fi
        sed 's/^/    /' "$folder/said"
    done
done
exit $failed
