#!/usr/bin/env bash
# Fails when a C++ or CUDA source differs from clang-format's output, naming
# each such file. `format_test.sh --fix`, run by hand, rewrites them.
#
# Releases of clang-format disagree with each other, so one of them is the
# standard: 14, Debian 12's. With another the check says that it was skipped.
set -euo pipefail

readonly kMajor=14
here="$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=tools/ci/tree.sh
source "$here/tree.sh"

fix=
if [ "${1:-}" = --fix ]; then
  fix=yes
  shift
fi
cd "$(tree_root "${1:-}")"

program=
for candidate in "clang-format-$kMajor" clang-format; do
  if "$candidate" --version 2>/dev/null | grep -q "version $kMajor\."; then
    program="$candidate"
    break
  fi
done
[ -n "$program" ] ||
  skip_test format "needs clang-format $kMajor; found: $(
    clang-format --version 2>/dev/null || echo none
  )"

if [ -n "$fix" ]; then
  tree_files '*.cc' '*.h' '*.cu' '*.cuh' |
    xargs -0 -r -n 32 "$program" -i --style=file
  exit
fi

# clang-format names each place; one line for each file is enough to act on.
log="$(tree_files '*.cc' '*.h' '*.cu' '*.cuh' |
  xargs -0 -r -n 32 "$program" --style=file --dry-run 2>&1)" || true
bad="$(sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: \(warning\|error\):.*/\1/p' \
  <<<"$log" | sort | uniq -c)"
if [ -n "$bad" ]; then
  echo "Not as clang-format $kMajor writes them (places, file):"
  echo "$bad"
  echo "Run tools/ci/format_test.sh --fix"
  exit 1
fi
if [ -n "$log" ]; then
  echo "$log"
  exit 1
fi
echo "$(tree_files '*.cc' '*.h' '*.cu' '*.cuh' | tr -cd '\0' | wc -c) files as" \
  "$program writes them"
