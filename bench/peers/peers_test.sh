#!/usr/bin/env bash
# Without PyTorch, or without a GPU, peers.py says so, prints the rows of ours
# and succeeds; a wrong command line fails.
set -euo pipefail
command -v python3 >/dev/null || { echo "SKIPPED: no python3"; exit 0; }
script="$PWD/bench/peers/peers.py"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT

# A program that stands for ours: a row that ran, and one that did not.
cat >"$out/ours" <<'PROGRAM'
#!/usr/bin/env bash
for argument in "$@"; do
  case "$argument" in --out=*) out="${argument#--out=}" ;; esac
done
cat >"$out/scaling.json" <<'JSON'
{"models": {}, "rows": [
 {"phase": "forward", "mixer": "gdn", "length": 2048, "batch": 1,
  "status": "ok", "median_s": 0.00125},
 {"phase": "forward", "mixer": "kda", "length": 2048, "batch": 1,
  "status": "out_of_memory", "median_s": null}]}
JSON
PROGRAM
chmod +x "$out/ours"

# Nothing that could be a GPU.
CUDA_VISIBLE_DEVICES='' python3 "$script" --ours="$out/ours" --out="$out" \
  --time_limit=20 >"$out/log"
grep -q 'Peers are not timed' "$out/peers.md"
grep -q '| gdn, forward | 2048 | 1.25 ms | none |' "$out/peers.md"
grep -q '| kda, forward | 2048 | out_of_memory | none |' "$out/peers.md"

# Without ours there is a row that says so.
CUDA_VISIBLE_DEVICES='' python3 "$script" --out="$out" >"$out/log"
grep -q '"status": "absent"' "$out/peers.jsonl"

if python3 "$script" --out="$out/none" 2>/dev/null; then
  echo "a missing folder was taken" >&2
  exit 1
fi
if python3 "$script" --out="$out" --groups=sdpa,fle 2>/dev/null; then
  echo "an unknown group was taken" >&2
  exit 1
fi
if python3 "$script" --out="$out" --mixers=gnd 2>/dev/null; then
  echo "an unknown mixer was taken" >&2
  exit 1
fi
echo passed
