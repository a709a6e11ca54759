#!/bin/sh
# The fuzzing sample without AFL++: no input sees what another one has left behind, and the bug is
# found.
#
#   fuzz_dll.sh FUZZ_DLL SAMPLES_DIR
set -eu
fuzz_dll=$(realpath "$1") samples=$2
inputs=$(mktemp -d)
trap 'rm -rf "$inputs"' EXIT
cd "$inputs"
printf 'N\005helloT\003abcS\002\000\000\000\007' >some
printf 'N\003abcDDT\000' >other
# The option lies a gibibyte behind the DLL: nothing does, the shadow of a sanitizer neither.
printf 'N\004leakT\004leakS\377\377\377\017\001' >bug

status=0
"$fuzz_dll" "$samples/notes.dll" some other some bug some other >out || status=$?
cat out
[ "$status" = 1 ]
[ "$(wc -l <out)" = 6 ]
[ "$(grep -c '^some: 0x' out)" = 3 ] && [ "$(grep '^some' out | sort -u | wc -l)" = 1 ]
[ "$(grep -c '^other: 0x' out)" = 2 ] && [ "$(grep '^other' out | sort -u | wc -l)" = 1 ]
grep -q '^bug: .* 0xc0000005 at notes.dll+0x' out

"$fuzz_dll" "$samples/notes.dll" some other >out
status=0
"$fuzz_dll" "$samples/notes.dll" <bug 2>err || status=$?
[ "$status" = 134 ] # 128 + SIGABRT
grep -q '0xc0000005 at notes.dll+0x' err
