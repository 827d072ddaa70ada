# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Runs test files inside the guest, one after the other in one boot. In:
# /t/files, one "FILE LIMIT MODULE" a line. Out on descriptor 9: for each file
# "file NAME", its TAP, what the unload said, and "status STATUS SECONDS".
# The verdict on a file is given after the module is gone again, nothing of it
# is left in memory, and the kernel log holds no complaint.

export PATH=/t/bin:$PATH TMPDIR=/tmp
# An emulated carry-less multiplication takes OpenSSL's GCM twice as long as its
# tables do.
export OPENSSL_ia32cap='~0x200000000:~0x0'

complaints='BUG|WARNING|Oops|Call Trace|general protection|possible recursive|unreferenced object|Objects remaining|refcount_t|UBSAN|KASAN|list_(add|del) corruption|hung task|soft lockup|I/O error.*blkferry'

# tap NUMBER NAME COMMAND...: one more TAP line for what follows the file.
tap() {
	local number=$1 name=$2 log=/tmp/after.log
	shift 2
	if "$@" >"$log" 2>&1; then
		echo "ok $number - $name"
	else
		echo "not ok $number - $name"
		tail -n 40 "$log" | sed 's/^/# /'
	fi
}

unloads() {
	[ -d /sys/module/blkferry ] || return 0
	rmmod blkferry
	[ ! -d /sys/module/blkferry ]
}

leaves_nothing() {
	local left
	left=$(grep -o '^blkferry[^ ]*' /proc/slabinfo)
	left+=$(find /sys/kernel/slab -maxdepth 1 -name 'blkferry*')
	left+=$(grep -o '.*\[blkferry\].*' /proc/vmallocinfo)
	left+=$(grep -lx 'blkferry.*' /proc/[0-9]*/comm)
	left+=$(leaked)
	echo "$left"
	[ -z "$left" ]
}

# On a kernel that looks for it: memory that nobody refers to any more. It looks
# only at what is older than 5 s.
leaked() {
	local at=/sys/kernel/debug/kmemleak idle
	[ -e $at ] || return 0
	exec {idle}<> <(:)
	read -r -t 6 -u "$idle" _
	exec {idle}>&-
	echo scan >$at
	cat $at
	echo clear >$at
}

# A kernel that checks locks stops doing so at its first complaint.
locks_are_checked() {
	[ ! -e /proc/lockdep_stats ] || grep -q 'debug_locks: *1' /proc/lockdep_stats
}

log_is_clean() {
	dmesg >/tmp/whole
	grep -q "$1" /tmp/whole || { echo "the log has lost its mark" && return 1; }
	sed "1,/$1/d" /tmp/whole >/tmp/dmesg
	! grep -nE "$complaints" /tmp/dmesg || { cat /tmp/dmesg; return 1; }
	locks_are_checked || { grep -nE -A 60 -m 1 "$complaints" /tmp/whole; return 1; }
}

run_file() {
	local file=$1 limit=$2 module=$3 mark status start=$SECONDS count
	mark="blkferry-test: $file"
	echo "file $file"
	echo "$mark" >/dev/kmsg
	if [ "$module" = yes ]; then
		insmod /vm/blkferry.ko || echo "# insmod failed"
	fi
	timeout -k 5 "$limit" bash "/t/tests/vm/$file" >/tmp/tap 2>/tmp/err </dev/null
	status=$?
	grep -v '^1\.\.' /tmp/tap
	[ "$status" -le 1 ] || sed 's/^/# /' /tmp/err
	count=$(grep -cE '^(not )?ok ' /tmp/tap)
	if [ "$module" = yes ]; then
		tap $((count + 1)) "the module unloads" unloads
		tap $((count + 2)) "nothing of the module is left" leaves_nothing
		count=$((count + 2))
	fi
	tap $((count + 1)) "the kernel log is clean" log_is_clean "${mark//\//.}"
	echo "status $status $((SECONDS - start))"
}

cd /t || exit 125
while read -r file limit module; do
	# A port can not be opened twice, so no tee: the descriptors are used.
	run_file "$file" "$limit" "$module" 9>&- | while IFS= read -r line; do
		printf '%s\n' "$line"
		printf '%s\n' "$line" >&9
	done
done <files
