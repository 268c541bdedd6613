#!/bin/bash
# The program from outside: results and exit codes, a second run from the
# cache, Ctrl-C and going on, and what errors say.
set -u
lm="$PWD/$1"
suites="$PWD/evals/lm/suites"
model="$PWD/testdata/checkpoints/text/gdn-T4"
work="$TEST_TMPDIR"
mkdir -p "$work/eval" && cd "$work" || exit 1
for i in $(seq 1 40); do
  echo "{\"goal\": \"goal $i\", \"sol1\": \"one way\", \"sol2\": \"another\"," \
    "\"label\": $((i % 2))}"
done > eval/piqa.jsonl

fail() {
  echo "FAILED: $*"
  cat out.txt err.txt
  exit 1
}
run() {
  "$lm" --suites="$suites" --model="$model" --data_dir=. "$@" \
    > out.txt 2> err.txt
}
expect() {  # exit code, text in the output, flags
  local code=$1 text=$2
  shift 2
  run "$@"
  local got=$?
  [ "$got" = "$code" ] || fail "$*: exit code $got, expected $code"
  cat out.txt err.txt | grep -qF -- "$text" || fail "$*: no '$text'"
}

expect 0 "80 requests, 0 answered from the cache" --tasks=piqa --out=a
[ -s a/results.json ] || fail "no results.json"
[ "$(wc -l < a/samples_piqa.jsonl)" = 40 ] || fail "not 40 samples"
expect 0 "80 requests, 80 answered from the cache" --tasks=piqa --out=a
cp a/samples_piqa.jsonl first.jsonl
# Neither the requests at a time nor the number of threads changes a bit.
expect 0 "80 requests, 0 answered" --tasks=piqa --out=b --batch=3 --threads=2
cmp first.jsonl b/samples_piqa.jsonl || fail "other samples with --batch=3"
expect 0 "PARTIAL: 5 of 40" --tasks=piqa --out=a --sample=5:1
# All suites that have their data: one. The others are named.
expect 0 "SKIPPED arc_easy: no ./eval/arc_easy.jsonl" --out=a --limit=2

# Ctrl-C in the middle, twice: the second run goes on where the first was.
mkdir -p big/eval
for _ in $(seq 1 500); do cat eval/piqa.jsonl; done |
  awk '{ sub(/: "goal/, ": \"goal " NR); print }' > big/eval/piqa.jsonl
kept=0
for _ in 1 2; do
  "$lm" --suites="$suites" --model="$model" --data_dir=big --tasks=piqa \
    --out=c > out.txt 2> err.txt &
  pid=$!
  for _ in $(seq 1 300); do
    sleep 0.1
    lines=$(cat c/lm_cache/*.jsonl 2> /dev/null | wc -l)
    [ "$lines" -gt "$kept" ] && break
  done
  kill -INT "$pid"
  wait "$pid"
  code=$?
  [ "$code" = 130 ] || fail "after SIGINT: exit code $code, expected 130"
  grep -q "the same command goes on" err.txt || fail "no word on going on"
  [ ! -e c/results.json ] || fail "results of a stopped run"
  lines=$(cat c/lm_cache/*.jsonl | wc -l)
  [ "$lines" -gt "$kept" ] || fail "nothing new kept"
  kept=$lines
done
[ -z "$(grep -o '"k":"[^"]*"' c/lm_cache/*.jsonl | sort | uniq -d)" ] ||
  fail "a request was asked twice"

# Errors.
expect 1 "give --model=FOLDER" --model=
expect 1 "nowhere" --tasks=piqa --model=nowhere
expect 1 "no suite 'pica'; there are: arc_challenge" --tasks=pica
expect 1 "--data_dir=FOLDER must have eval/sciq.jsonl" --tasks=sciq
expect 1 "not both" --tasks=piqa --limit=2 --sample=3:4
expect 1 "expected n:seed" --tasks=piqa --sample=3
echo '{"goal": "x", "sol1": "a", "label": 0}' >> eval/piqa.jsonl
expect 1 "eval/piqa.jsonl:41: suite 'piqa': no field 'sol2'" --tasks=piqa
echo '{"goal": "x"' >> eval/piqa.jsonl
expect 1 "eval/piqa.jsonl:42" --tasks=piqa
mkdir -p other && echo '{}' > other/tokenizer.json
expect 1 "other" --tasks=piqa --tokenizer=other
echo PASSED
