#!/usr/bin/env bash
# pack_gpu_bundle.sh OUT RUN_ALL {--test|--program|--data FILE...}...
# Packs programs, stripped, with the shared libraries a bare host lacks.
set -euo pipefail
out="$PWD/$1"
run_all="$2"
shift 2
name="$(basename "$out")"
name="${name%.tar.*}"
# Programs have the same kernels and libraries in them: a window over two or
# three keeps one copy, a sixth of what gzip makes of them, and in less time.
compress=(xz --threads=1 --lzma2=preset=2,dict=64MiB,mf=hc4)
stage="$(mktemp -d)"
trap 'rm -rf "$stage"' EXIT
root="$stage/$name"
mkdir -p "$root/tests" "$root/programs" "$root/lib/gcc"
cp -L "$run_all" "$root/run_all"
chmod 755 "$root/run_all"

add_program() { # file folder
  local to
  to="$root/$2/$(basename "$1")"
  [ ! -e "$to" ] || { echo "two programs named $(basename "$1")" >&2; exit 1; }
  strip -s -o "$to" "$1"
  chmod 755 "$to"
  # What the C library, the driver and the CUDA libraries are is the host's
  # business. GCC's own libraries go apart: run_all falls back on them where
  # the host's are too old.
  ldd "$1" | awk '$3 ~ /^\// {print $3}' | while read -r library; do
    case "$(basename "$library")" in
      libc.so* | libm.so* | libpthread.so* | libdl.so* | librt.so*) ;;
      libcuda* | libcublas* | libnv*) ;;
      libstdc++.so* | libgcc_s.so*) cp -Lu "$library" "$root/lib/gcc/" ;;
      *) cp -Lu "$library" "$root/lib/" ;;
    esac
  done
}

kind=
for argument in "$@"; do
  case "$argument" in
    --*) kind="$argument" ;;
    *)
      case "$kind" in
        --test) add_program "$argument" tests ;;
        --program) add_program "$argument" programs ;;
        --data)
          to="$root/${argument#bazel-out/*/bin/}"
          mkdir -p "$(dirname "$to")"
          cp -L "$argument" "$to"
          ;;
      esac
      ;;
  esac
done
chmod -R u+w "$root"

# The same bytes for the same programs: no times, no owners, one order.
tar -C "$stage" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
  -cf - "$name" | "${compress[@]}" >"$out"
