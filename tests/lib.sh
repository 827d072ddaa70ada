# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What a shell test is written with. A test file sources this, says in its
# first lines which policy it expects, defines functions and runs each with
#	run_case "what is shown" function [argument...]
# A case runs in a subshell under `set -e`: the first command that fails ends
# it. Out: TAP on standard output, one line a case; the plan when the file ends.

set -u
case_count=0
case_failures=0
test_tmp=$(mktemp -d "${TMPDIR:-/tmp}/blkferry-test.XXXXXX")
# shellcheck disable=SC2034  # for the test files
tests_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

end_of_file() {
	local status=$?
	rm -rf "$test_tmp"
	echo "1..$case_count"
	[ "$status" -ne 0 ] || [ "$case_failures" -eq 0 ] || exit 1
}
trap end_of_file EXIT

run_case() {
	local name=$1 log=$test_tmp/log status start=$SECONDS
	shift
	case_count=$((case_count + 1))
	(
		# shellcheck disable=SC2030
		cleanups=()
		trap run_cleanups EXIT
		trap 'complain "$?" "$LINENO" "$BASH_COMMAND"' ERR
		set -eE
		"$@"
	) >"$log" 2>&1
	status=$?
	case $status in
	0) echo "ok $case_count - $name" ;;
	77) echo "ok $case_count - $name # SKIP $(tail -n 1 "$log")" ;;
	*)
		echo "not ok $case_count - $name"
		tail -n 60 "$log" | sed 's/^/# /'
		case_failures=$((case_failures + 1))
		;;
	esac
	echo "# took $((SECONDS - start)) s: $name"
}

# run_program PROGRAM...: a program that prints TAP itself; its cases become ours.
run_program() {
	local line status before=$case_count bad=$case_failures
	"$@" >"$test_tmp/program" 2>&1
	status=$?
	while IFS= read -r line; do
		case $line in
		"ok "*" - "* | "not ok "*" - "*)
			case_count=$((case_count + 1))
			[ "${line#not }" = "$line" ] || case_failures=$((case_failures + 1))
			echo "${line%%ok *}ok $case_count - ${line#* - }"
			;;
		1..*) ;;
		*) echo "# ${line#\# }" ;;
		esac
	done <"$test_tmp/program"
	if [ "$status" -gt 1 ] || [ "$case_count" -eq "$before" ] ||
		{ [ "$status" -eq 1 ] && [ "$case_failures" -eq "$bad" ]; }; then
		run_case "${1##*/} comes to its end" fail "status $status"
	fi
}

complain() {
	[ "$1" -eq 77 ] || echo "line $2: status $1: $3"
}

# skip REASON: this case cannot run here; only what tests/skips lists may skip.
skip() {
	echo "$*"
	exit 77
}

# cleanup_fn COMMAND...: run when the case ends, last one first.
cleanup_fn() {
	# shellcheck disable=SC2031  # the case is the subshell
	cleanups=("$(printf '%q ' "$@")" "${cleanups[@]}")
}

run_cleanups() {
	local status=$? command
	trap - ERR
	set +e
	for command in "${cleanups[@]}"; do
		eval "$command"
	done
	exit "$status"
}

# requires PROGRAM...: skips the case without them.
requires() {
	local program
	for program in "$@"; do
		type -P "$program" >/dev/null || skip "needs $program"
	done
}

fail() {
	echo "$*"
	return 1
}

# counted NAME NUMBER: says how many there were; fewer than tests/counts wants is
# a case that fails.
counted() {
	echo "# count $1 $2"
	run_case "$2 $1" enough "$1" "$2"
}

enough() {
	local wanted
	wanted=$(sed -n "s/^$1 //p" "$tests_dir/counts")
	[ -n "$wanted" ] || fail "tests/counts does not say how many $1 there must be"
	[ "$2" -ge "$wanted" ] || fail "$2 $1, wanted $wanted at least"
}

# eq GOT WANTED [WHAT]
eq() {
	[ "$1" = "$2" ] || fail "${3:-value}: got '$1', wanted '$2'"
}

# expect_status STATUS COMMAND...: COMMAND's output is kept in $test_tmp/out.
expect_status() {
	local wanted=$1 status=0
	shift
	"$@" >"$test_tmp/out" 2>&1 || status=$?
	[ "$status" -eq "$wanted" ] && return 0
	cat "$test_tmp/out"
	fail "status $status, wanted $wanted: $*"
}

# whatever COMMAND...: its status is not the point; what it does is checked next.
whatever() {
	"$@" || echo "status $?: $*"
}

# fails_saying PATTERN COMMAND...: COMMAND fails, and says so in words.
fails_saying() {
	local pattern=$1
	shift
	if "$@" >"$test_tmp/out" 2>&1; then
		fail "succeeded, though it must fail: $*"
	fi
	grep -qE -- "$pattern" "$test_tmp/out" && return 0
	cat "$test_tmp/out"
	fail "does not say '$pattern': $*"
}

# wait_until SECONDS COMMAND...: until it succeeds; fails when time is up.
wait_until() {
	local end=$((SECONDS + $1)) idle began pause
	shift
	exec {idle}<> <(:)
	until began=${EPOCHREALTIME/[.,]/}; "$@"; do
		[ "$SECONDS" -le "$end" ] || fail "still not so: $*" || return 1
		# As long as the question took: asking must not be all that a
		# guest with one processor does.
		pause=$((${EPOCHREALTIME/[.,]/} - began))
		pause=$((pause < 50000 ? 50000 : pause > 999999 ? 999999 : pause))
		printf -v pause 0.%06d "$pause"
		read -r -t "$pause" -u "$idle" _ || :
	done
	exec {idle}>&-
}
