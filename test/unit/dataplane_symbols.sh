#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Fails when the data plane's archive needs anything but pure functions of the C library: a packet
# is decided on without system calls, and the archive links into any program.
#
# usage: dataplane_symbols.sh ARCHIVE [NM]
set -eu

archive=$1
nm=${2:-nm}

# Memory and strings; allocation and sorting (control thread only); addresses as text.
allowed='memcpy memset memmove memcmp strlen strcmp strchr
calloc free qsort
inet_pton inet_ntop snprintf
htons htonl ntohs ntohl __errno_location'

# What compilers add by themselves: checked variants of the above, the stack protector, sanitizers,
# coverage, position-independent code, arithmetic and (on aarch64) atomic helpers, and what the CPU
# can do (cpuid).
allowed_patterns='^__(memcpy|memset|memmove|snprintf)_chk$
^__stack_chk_fail$
^__(asan|ubsan|tsan|sanitizer)_
^__gcov_
^_GLOBAL_OFFSET_TABLE_$
^__cpu_model$
^__aarch64_(cas|swp)[48]_
^__(mul|div|udiv|umod)ti3$'

[ -r "$archive" ] || {
	echo "cannot read the archive $archive" >&2
	exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$nm" -g "$archive" >"$work/all" 2>"$work/errors" || {
	cat "$work/errors" >&2
	exit 1
}
# "VALUE TYPE NAME" for what is there, "U NAME" (w, v: weak) for what is not.
awk 'NF == 3 { print $3 }' "$work/all" | sort -u >"$work/defined"
awk 'NF == 2 { print $2 }' "$work/all" | sort -u >"$work/undefined"
[ -s "$work/defined" ] || {
	echo "$archive defines nothing" >&2
	exit 1
}
echo "$allowed" | tr ' ' '\n' >"$work/allowed"
echo "$allowed_patterns" >"$work/patterns"

comm -23 "$work/undefined" "$work/defined" |
	grep -vxFf "$work/allowed" | grep -vEf "$work/patterns" >"$work/foreign" || true
if [ -s "$work/foreign" ]; then
	echo "the data plane needs what it may not:" >&2
	# "ARCHIVE:MEMBER: U NAME"
	"$nm" -A -u "$archive" | awk -v foreign="$work/foreign" '
		BEGIN { while ((getline name <foreign) > 0) is_foreign[name] = 1 }
		$NF in is_foreign { sub(/:$/, "", $1); sub(/^.*:/, "", $1); print "  " $1 ": " $NF }
	' >&2
	exit 1
fi
