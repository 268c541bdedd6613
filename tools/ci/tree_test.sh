#!/usr/bin/env bash
# Fails when a source file is longer than one sitting's reading, or when a
# file names a directory of somebody's machine.
set -euo pipefail

readonly kMaxLines=500
here="$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=tools/ci/tree.sh
source "$here/tree.sh"
cd "$(tree_root "${1:-}")"
failed=0

while IFS= read -r -d '' file; do
  lines="$(wc -l <"$file")"
  if [ "$lines" -gt "$kMaxLines" ]; then
    echo "$file: $lines lines, more than $kMaxLines"
    failed=1
  fi
done < <(tree_files '*.cc' '*.h' '*.cu' '*.cuh' '*.bzl' '*.sh' '*.py')

# Written so that this file does not hold what it looks for.
homes='(^|[^A-Za-z0-9_.*-])/(work|root|home|Users)/[A-Za-z0-9_.]'
if tree_files | xargs -0 -r grep -HnIE "$homes"; then
  echo "^ absolute paths of one machine"
  failed=1
fi

[ "$failed" = 0 ] && echo "$(tree_files | tr -cd '\0' | wc -c) files checked"
exit "$failed"
