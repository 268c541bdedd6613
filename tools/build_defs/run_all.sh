#!/usr/bin/env bash
# run_all: runs the GPU tests of this bundle, one line for each; exits 1 if any
# failed. Needs a driver and the CUDA 13 libraries, of a toolkit or of Python's
# nvidia packages (LT2_CUDA_LIB names their folder where neither is found).
#
#   run_all [option...] [name...]      names are parts of programs' names
#     --sanitize[=memcheck|racecheck|initcheck|synccheck]
#                    under compute-sanitizer (memcheck if not said)
#     --filter=F     gtest's filter
#     --timeout=S    seconds for one program (600)
#     --jobs=N       programs at once (1)
#     --shards=N     splits each program's tests over N processes (1)
#     --logs=DIR     what each printed (./logs)
#     --benchmarks   the benchmarks instead of the tests; --filter is theirs
#     --env          print the environment that the programs need, run nothing
#   run_all --exec PROGRAM ARGUMENT...   one program, e.g. --exec train --help
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

sanitize=
filter=
timeout=600
jobs=1
shards=1
logs="$PWD/logs"
kind=tests
names=()
action=run
program=()
while [ $# -gt 0 ]; do
  case "$1" in
    --sanitize) sanitize=memcheck ;;
    --sanitize=*) sanitize="${1#*=}" ;;
    --filter=*) filter="${1#*=}" ;;
    --timeout=*) timeout="${1#*=}" ;;
    --jobs=*) jobs="${1#*=}" ;;
    --shards=*) shards="${1#*=}" ;;
    --logs=*) logs="$(mkdir -p "${1#*=}" && cd "${1#*=}" && pwd)" ;;
    --benchmarks) kind=programs ;;
    --env) action=env ;;
    --exec)
      action=exec
      shift
      program=("$@")
      break
      ;;
    -*)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$root/run_all"
      exit 2
      ;;
    *) names+=("$1") ;;
  esac
  shift
done

# --- the CUDA libraries ------------------------------------------------------
find_cuda() {
  local directory
  for directory in "${LT2_CUDA_LIB:-}" /usr/local/cuda/lib64 \
    /usr/local/cuda-13*/lib64 /usr/lib/x86_64-linux-gnu \
    $(python3 -c 'import site, sys
print(*site.getsitepackages(), site.getusersitepackages(),
      *(p for p in sys.path if p.endswith("-packages")))' 2>/dev/null |
      tr ' ' '\n' | sed 's,$,/nvidia/*/lib,'); do
    if [ -e "$directory/libcublasLt.so.13" ]; then
      echo "$directory"
      return
    fi
  done
}
cuda="$(find_cuda)"
[ -n "$cuda" ] ||
  echo "run_all: no libcublasLt.so.13 found; set LT2_CUDA_LIB" >&2
path="$root/lib${cuda:+:$cuda}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

# GCC's libraries of the bundle, only where the host's are missing or older.
for probe in "$root"/tests/* "$root"/programs/*; do
  problems="$(LD_LIBRARY_PATH="$path" ldd "$probe" 2>&1)"
  if grep -qE "(GLIBCXX|CXXABI|GCC)_[0-9.]*' not found|(libstdc|libgcc).*not found" \
    <<<"$problems"; then
    path="$root/lib/gcc:$path"
    problems="$(LD_LIBRARY_PATH="$path" ldd "$probe" 2>&1)"
  fi
  grep -h 'not found' <<<"$problems" | sed 's/^/run_all: /' >&2
  break
done
export LD_LIBRARY_PATH="$path"

cd "$root" || exit 1
case "$action" in
  env)
    printf 'export LD_LIBRARY_PATH=%q\n' "$LD_LIBRARY_PATH"
    exit
    ;;
  exec)
    name="${program[0]:?--exec needs a program of programs/ or tests/}"
    for folder in programs tests; do
      [ ! -x "$root/$folder/$name" ] ||
        exec "$root/$folder/$name" "${program[@]:1}"
    done
    echo "run_all: no program $name" >&2
    exit 2
    ;;
esac

# --- compute-sanitizer ---------------------------------------------------------
prefix=()
if [ -n "$sanitize" ]; then
  tool=
  for candidate in compute-sanitizer "$cuda/../bin/compute-sanitizer" \
    /usr/local/cuda/bin/compute-sanitizer \
    "$cuda"/../compute-sanitizer/compute-sanitizer \
    "$cuda"/../../*/bin/compute-sanitizer; do
    if command -v "$candidate" >/dev/null 2>&1; then
      tool="$candidate"
      break
    fi
  done
  [ -n "$tool" ] || { echo "run_all: no compute-sanitizer" >&2; exit 2; }
  prefix=("$tool" "--tool=$sanitize" --error-exitcode=99)
  # A test that provokes an error of the API on purpose is no finding.
  case "$sanitize" in memcheck) prefix+=(--report-api-errors=no) ;; esac
fi

# --- run ---------------------------------------------------------------------
mkdir -p "$logs"
results="$(mktemp -d)"
trap 'rm -rf "$results"' EXIT

count() { # log pattern: gtest's own total, e.g. "[  PASSED  ] 3 tests."
  sed -nE "s/^\[ *$2 *\] ([0-9]+) tests?[.,].*/\1/p" "$1" | tail -n 1
}

run_one() { # program shard
  local name log status=0 begin=$SECONDS verdict=PASS ok bad skip arguments=()
  name="$(basename "$1")"
  if [ "$shards" -gt 1 ]; then
    export GTEST_TOTAL_SHARDS="$shards" GTEST_SHARD_INDEX="$2"
    name="$name-$2"
  fi
  log="$logs/$name${sanitize:+.$sanitize}.log"
  if [ "$kind" = programs ]; then
    arguments=(--benchmark_color=false)
    [ -z "$filter" ] || arguments+=("--benchmark_filter=$filter")
  else
    arguments=(--gtest_color=no)
    [ -z "$filter" ] || arguments+=("--gtest_filter=$filter")
  fi
  timeout "$timeout" ${prefix[@]+"${prefix[@]}"} "$1" "${arguments[@]}" \
    >"$log" 2>&1 </dev/null || status=$?
  ok="$(count "$log" PASSED)"
  bad="$(count "$log" FAILED)"
  skip="$(count "$log" SKIPPED)"
  case "$status" in
    0) ;;
    99) verdict="FAIL ($sanitize)" ;;
    124) verdict="FAIL (over $timeout s)" ;;
    *) verdict="FAIL (exit $status)" ;;
  esac
  if [ "$status" != 0 ] && [ "${bad:-0}" = 0 ]; then bad=1; fi
  printf '%s %s: %s passed, %s failed, %s skipped, %s s\n' "$verdict" "$name" \
    "${ok:-0}" "${bad:-0}" "${skip:-0}" "$((SECONDS - begin))"
  if [ "$status" != 0 ]; then
    grep -E '(Failure|^Expected|^Value|^ +Actual|Which is|ERROR SUMMARY|=========|FAILED|CHECK|rror)' \
      "$log" | head -n 40 | sed 's/^/    /'
  elif [ -n "$skip" ] && [ "$skip" != 0 ]; then
    grep -A 2 ': Skipped$' "$log" | grep -vE '^--$|: Skipped$|^$|^\[' | sort |
      uniq -c | sed 's/^ */    skipped /'
  fi
  if [ "$kind" = programs ]; then sed 's/^/    /' "$log"; fi
  echo "${ok:-0} ${bad:-0} ${skip:-0}" >"$results/$name"
}

selected=()
for candidate in "$root/$kind"/*; do
  name="$(basename "$candidate")"
  if [ "$kind" = programs ] && [[ "$name" != *_benchmark ]]; then continue; fi
  wanted="${#names[@]}"
  for part in ${names[@]+"${names[@]}"}; do
    if [[ "$name" == *"$part"* ]]; then wanted=0; fi
  done
  if [ "$wanted" = 0 ] && [ -x "$candidate" ]; then selected+=("$candidate"); fi
done

[ "${#selected[@]}" != 0 ] || { echo "run_all: no such program" >&2; exit 2; }

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null ||
  echo "run_all: nvidia-smi shows no device"
begin="$SECONDS"
running=0
for ((shard = 0; shard < shards; ++shard)); do
  for candidate in "${selected[@]}"; do
    if [ "$running" -ge "$jobs" ]; then
      wait -n
      running=$((running - 1))
    fi
    # Printed at once, when done, so that programs side by side do not mix.
    { output="$(run_one "$candidate" "$shard")"; printf '%s\n' "$output"; } &
    running=$((running + 1))
  done
done
wait

# Nothing that ran is no success either, e.g. for a filter with a typing error.
awk -v programs="$((${#selected[@]} * shards))" -v seconds="$((SECONDS - begin))" \
  -v kind="$kind" '
  { passed += $1; failed += $2; skipped += $3 }
  END {
    printf "%d programs, %d s\n", programs, seconds
    printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
    ran = passed + failed + skipped > 0 || kind == "programs"
    exit failed > 0 || NR != programs || !ran
  }' "$results"/*
