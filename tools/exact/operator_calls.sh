#!/usr/bin/env bash
# Writes the counting detours of operator_calls.h for the operators that a
# program holds: assembler, and options of the linker.
#
#   operator_calls.sh PROGRAM DETOURS.s OPTIONS
set -euo pipefail
export LC_ALL=C
program="$1" assembler="$2" options="$3"

# Mangled and readable names side by side, of functions that other object
# files can call. References in lt2::Context's own object are not redirected.
symbols="$(nm --defined-only "$program" | awk '$2 == "T" { print $3 }' |
  sort -u)"
list="$(paste -d ' ' <(echo "$symbols") <(echo "$symbols" | c++filt) |
  sed -nE \
    -e 's/^([^ ]+) lt2::kernels::([A-Za-z0-9_]+)\(lt2::Context&.*/\1 \2/p' \
    -e 's/^([^ ]+) lt2::(Context::(Copy|Zero))\(.*/\1 \2/p' |
  grep -v 'Cpu$')"
[ -n "$list" ] || { echo "$program: no operators found" >&2; exit 1; }

{
  count=0
  table="" names=""
  echo "  .text"
  while read -r symbol name; do
    cat <<DETOUR
  .globl __wrap_$symbol
  .type __wrap_$symbol, @function
__wrap_$symbol:
  lock incq lt2_calls+$((8 * count))(%rip)
  jmp __real_$symbol@PLT
DETOUR
    table+="  .quad lt2_name_$count, lt2_calls+$((8 * count))"$'\n'
    names+="lt2_name_$count: .asciz \"$name\""$'\n'
    count=$((count + 1))
  done <<<"$list"
  cat <<TABLE
  .section .rodata
$names
  .globl lt2_operator_count
  .balign 8
lt2_operator_count: .quad $count
  .section .data.rel.local,"aw"
  .globl lt2_operator_calls
  .balign 8
lt2_operator_calls:
$table
  .bss
  .balign 64
lt2_calls: .skip $((8 * count))
  .section .note.GNU-stack,"",@progbits
TABLE
} >"$assembler"
sed -E 's/^([^ ]+) .*/--wrap=\1/' <<<"$list" >"$options"
