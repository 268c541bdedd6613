# Shared by the checks of this folder: source it, do not run it.
#
# A check reads the source tree itself, not copies that Bazel was told of, so
# that a new file is checked without being named in any BUILD file.

# Prints the root of the source tree. Under `bazel test` the first argument is
# a data file, a symbolic link to the real one in the tree's root.
tree_root() { # data_file
  if [ -n "${TEST_SRCDIR:-}" ] && [ -e "${1:-}" ]; then
    dirname "$(readlink -f "$1")"
  else
    git rev-parse --show-toplevel
  fi
}

# Prints the tree's files, NUL between them: what git tracks or would track,
# or every file that is not a product of the build where git cannot say.
tree_files() { # glob...
  if git -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1; then
    git -c safe.directory='*' ls-files -z --cached --others \
      --exclude-standard -- "$@" | while IFS= read -r -d '' file; do
      # A tracked file that was deleted but not yet committed is no file.
      [ ! -f "$file" ] || printf '%s\0' "$file"
    done
    return
  fi
  local glob name=()
  for glob in "$@"; do name+=(-o -name "${glob##*/}"); done
  find . \( -path './bazel-*' -o -path './.git' -o -name '.bazelrc.*' \) \
    -prune -o -type f ${name:+\( "${name[@]:1}" \)} -print0 |
    sed -z 's|^\./||'
}

# Ends the test as skipped, in words that the summary of .ci/run shows.
skip_test() { # test reason
  echo "SKIPPED: $2"
  if [ -n "${XML_OUTPUT_FILE:-}" ]; then
    cat >"$XML_OUTPUT_FILE" <<XML
<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="1" failures="0" errors="0">
  <testsuite name="$1" tests="1" failures="0" skipped="1" errors="0">
    <testcase name="$1" status="run" result="skipped">
      <skipped message="$2"></skipped>
    </testcase>
  </testsuite>
</testsuites>
XML
  fi
  exit 0
}
