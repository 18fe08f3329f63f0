#!/usr/bin/env bash
# Checks and measures the CUDA engine on a machine with an NVIDIA GPU; needs nothing but the driver, and uses compute-sanitizer and a python3 with PyTorch where there
# are any. Every section runs even if another fails, what is missing is said in one line, and the exit code says whether anything failed.
#
# Usage: gpu-check.sh [--out FOLDER] [--only SECTIONS] [--minutes M] [--data FOLDER] [--device D] [-- more options of "Patching.Benchmarks gpu"]
#   --out      gets log.txt, measurements.jsonl, report.md (default: gpu-check)
#   --only     of facts,kernels,selftest,goldens,sanitizer,patch,accuracy,losses,copy,interpolate,optimizer,gemm,attention,inference,step; "checks" stands for the first
#              six and "peers" for the rest; default all, which takes longer than ten minutes with PyTorch's compiler: call it once with checks, once with peers
#   --minutes  no benchmark is begun after this (default 8)
#   --device   cuda (default), or cpu: a rehearsal on the processor, with a tiny model and one round, that goes through everything but what only a GPU has
#   --data     folder with the stand-in model and data sets (standin/, data/) for the end-to-end patch; default ../shared, left out where it is missing
set -u
here=$(cd "$(dirname "$0")" && pwd)
bin=$here/bin
checks=facts,kernels,selftest,goldens,sanitizer,patch
peers=accuracy,losses,copy,interpolate,optimizer,gemm,attention,inference,step
only=$checks,$peers out=gpu-check minutes=8 data=$here/../shared device=cuda
while [ $# -gt 0 ]; do
    case $1 in
        --out | --only | --minutes | --data | --device) [ $# -gt 1 ] || { echo "gpu-check.sh: $1: needs a value" >&2; exit 2; } ;;
    esac
    case $1 in
        --out) out=$2; shift 2 ;;
        --only) only=$2; shift 2 ;;
        --minutes) minutes=$2; shift 2 ;;
        --data) data=$2; shift 2 ;;
        --device) device=$2; shift 2 ;;
        --) shift; break ;;
        *) echo "gpu-check.sh: $1: unknown; see the head of this file" >&2; exit 2 ;;
    esac
done
for name in ${only//,/ }; do
    case ,$checks,$peers,checks,peers, in *",$name,"*) ;; *) echo "gpu-check.sh: --only $name: there is no such section; see the head of this file" >&2; exit 2 ;; esac
done
case $device in cuda | cpu) ;; *) echo "gpu-check.sh: --device $device: must be cuda or cpu" >&2; exit 2 ;; esac
if [ "$device" = cuda ]; then
    # Opens the GPU and measures nothing.
    probe=$(mktemp -d)
    if ! obstacle=$("$bin/Patching.Benchmarks" gpu --only copy --minutes 0 --peer none --out "$probe" 2>&1 > /dev/null); then
        rm -rf "$probe"
        echo "gpu-check.sh: there is nothing to check: ${obstacle#gpu: }" >&2
        exit 2
    fi
    rm -rf "$probe"
    precisions="bf16 fp32"
else
    precisions=fp32
    set -- --device cpu --models tiny --batch 2 --classes 10 --rounds 1 --seconds 0 "$@"
fi
only=,$only,
only=${only//,checks,/,$checks,}
only=${only//,peers,/,$peers,}
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
exec > >(tee -a "$out/log.txt") 2>&1
failed=""

wants() { case $only in *,$1,*) true ;; *) false ;; esac; }
section() { printf '\n== %s\n' "$*"; }
# check NAME COMMAND...: runs it with at most ten minutes and remembers a failure
check() {
    local name=$1 status=0
    shift
    timeout 600 "$@" || status=$?
    [ $status -eq 0 ] || { echo "gpu-check.sh: $name FAILED (exit code $status)"; failed="$failed $name"; }
}

if wants facts; then
    section facts
    if command -v nvidia-smi > /dev/null; then
        nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit,compute_cap --format=csv || true
    else
        echo "nvidia-smi: not found"
    fi
    check info "$here/patching" info
fi

if wants kernels; then
    section "kernels: does the driver's compiler take every one, and what do they need"
    if [ "$device" = cuda ]; then
        check kernels "$bin/Patching.Benchmarks" gpu --only kernels --peer none --out "$out"
    else
        echo "left out: needs a GPU's driver"
    fi
fi

if wants selftest; then
    section "selftest: every kernel against double precision, fresh random inputs"
    check selftest "$here/patching" selftest --device "$device"
fi

if wants goldens; then
    section "goldens: the tiny model's forward, gradients and steps in fp32 and bf16 on this GPU"
    if [ "$device" = cuda ]; then
        PATCHING_TEST_GPU=1 check goldens "$here/run-tests.sh" --filter "FullyQualifiedName~GoldenCuda"
    else
        echo "on the interpreter instead of a GPU"
        check goldens "$here/run-tests.sh" --filter "FullyQualifiedName~GoldenCuda"
    fi
fi

if wants sanitizer; then
    section "sanitizer: the self-test under compute-sanitizer"
    if [ "$device" = cpu ]; then
        echo "left out: needs a GPU"
    elif command -v compute-sanitizer > /dev/null; then
        # The slow tools get the small shapes.
        for tool in memcheck racecheck; do
            check "$tool" compute-sanitizer --tool $tool --error-exitcode 9 --print-limit 20 "$here/patching" selftest --device cuda --small
        done
    else
        echo "compute-sanitizer: not found; out-of-bounds accesses and races were looked for by the PTX interpreter alone"
    fi
fi

if wants patch; then
    section "patch: the stand-in model, end to end, in $precisions"
    if [ -d "$data/standin/hf" ] && [ -d "$data/data" ]; then
        for precision in $precisions; do
            check "patch-$precision" "$here/patching" patch --device "$device" --precision "$precision" --model "$data/standin/hf" --train-dataset MNIST \
                --eval-datasets FashionMNIST,MNIST --data-location "$data/data" --epochs 1 --lr 3e-4 --warmup_length 50 --batch-size 128 \
                --alpha 0 0.25 0.5 0.75 1 --results-db "$out/patch-$precision.jsonl"
        done
    else
        echo "no stand-in model and data below $data: name their folder with --data; the end-to-end patch is left out"
    fi
fi

sections=""
for name in ${peers//,/ }; do
    if wants "$name"; then sections=$sections,$name; fi
done
if [ -n "$sections" ]; then
    section "benchmarks beside PyTorch: ${sections#,}"
    check benchmarks "$bin/Patching.Benchmarks" gpu --only "${sections#,}" --peer "$here/peer_torch.py" --minutes "$minutes" --out "$out" "$@"
fi

if [ -f "$out/measurements.jsonl" ]; then
    section report
    "$bin/Patching.Benchmarks" gpu-report "$out/measurements.jsonl" --out "$out/report.md" && echo "$out/report.md"
fi
if [ -n "$failed" ]; then
    echo "gpu-check.sh: FAILED:$failed"
    exit 1
fi
echo "gpu-check.sh: everything that ran passed"
