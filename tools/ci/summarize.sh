#!/usr/bin/env bash
# summarize.sh LOG TESTLOGS [STATUS]: counts test cases after a `bazel test`.
#
# LOG is what Bazel printed, with its one line for each target; TESTLOGS is its
# directory of test.xml files; STATUS its exit status. Prints the targets with skipped or failed cases
# and, alone on the last line, `N passed, N failed, N skipped`. A target that
# failed without a failed case (a crash, a time-out, a broken build) counts as
# one failed case; one without cases as one case; a Bazel that failed before
# or besides the tests as one failed case. Exits 1 if any failed.
set -euo pipefail
log="$1"
testlogs="$2"

# Prints "passed failed skipped", then one line for each reason to skip and
# each failed case.
count_cases() { # test.xml...
  awk '
    function attribute(name,    text) {
      if (!match($0, "[ <]" name "=\"[^\"]*\"")) return ""
      text = substr($0, RSTART, RLENGTH)
      sub(/^[^"]*"/, "", text)
      sub(/"$/, "", text)
      return text
    }
    function finish() {
      if (state == "") return
      if (state == "failed") failures[++failed] = name
      else if (state == "skipped") ++skipped
      else ++passed
      state = ""
    }
    /<testcase / {
      finish()
      name = attribute("classname") "." attribute("name")
      sub(/^\./, "", name)
      # Disabled cases ("notrun") count as skipped: they checked nothing.
      state = "passed"
      if (attribute("result") == "skipped") state = "skipped"
      if (attribute("status") == "notrun") {
        state = "skipped"
        ++reasons["disabled"]
      }
    }
    /<skipped message=/ {
      reason = attribute("message")
      sub(/^.*&#x0A;/, "", reason)
      ++reasons[reason]
    }
    /<(failure|error)[ >]/ { state = "failed" }
    END {
      finish()
      print passed + 0, failed + 0, skipped + 0
      for (reason in reasons) print "    skipped " reasons[reason] ": " reason
      for (i = 1; i <= failed; ++i) print "    failed: " failures[i]
    }' "$@"
}

passed=0
failed=0
skipped=0
targets=0
while read -r target status; do
  targets=$((targets + 1))
  directory="$testlogs/$(tr : / <<<"${target#//}")"
  xmls=()
  case "$status" in
    PASSED | FLAKY | FAILED | TIMEOUT)
      while IFS= read -r -d '' xml; do xmls+=("$xml"); done < <(
        find -L "$directory" -name test.xml -print0 2>/dev/null
      )
      ;;
  esac
  cases="0 0 0"
  if [ "${#xmls[@]}" -gt 0 ]; then cases="$(count_cases "${xmls[@]}")"; fi
  read -r ok bad skip <<<"$cases"
  case "$status" in
    PASSED | FLAKY)
      if [ $((ok + bad + skip)) = 0 ]; then ok=1; fi
      ;;
    *) if [ "$bad" = 0 ]; then bad=1; fi ;;
  esac
  passed=$((passed + ok))
  failed=$((failed + bad))
  skipped=$((skipped + skip))
  if [ "$bad" != 0 ] || [ "$skip" != 0 ]; then
    echo "$target: $status, $ok passed, $bad failed, $skip skipped"
    sed 1d <<<"$cases"
  fi
done < <(
  sed -nE 's,^(//[^ ]+) +(\(cached\) )?(PASSED|FLAKY|FAILED TO BUILD|FAILED|TIMEOUT|INCOMPLETE|NO STATUS|REMOTE FAILURE)(.*)$,\1 \3,p' \
    "$log" | sort -u
)
echo "$targets test targets"
if [ "$failed" = 0 ] && { [ "$targets" = 0 ] || [ "${3:-0}" != 0 ]; }; then
  echo "no target failed, but Bazel did (exit status ${3:-unknown})"
  failed=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
