# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: the driver never says more than was shown. A file that fails, runs
# nothing, dies, takes too long or skips without leave fails the run; the last
# line counts, and the exit status agrees with it. So does a guest that dies.
# RUN: limit=120
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

# What passes beside the files under test: five builds and lint; in `vm` mode
# two builds.
base=8 vm_base=3

# A tree of its own with the real driver and stand-ins for what it calls.
make_tree() {
	tree=$test_tmp/tree
	rm -rf "$tree"
	mkdir -p "$tree"/tests/{fault,vm} "$tree/tools"
	cp "$tests_dir"/{run,lib.sh,skips} "$tree/tests/"
	printf 'user faulty sanitized unit-tests fault-tests fuzz-replay guest-tests:\n\t@:\n' >"$tree/Makefile"
	printf '#!/bin/sh\n' >"$tree/tools/bootstrap"
	printf '#!/bin/sh\necho "ok 1 - lint"\n' >"$tree/tools/lint"
	chmod +x "$tree"/tools/*
}

# test_file PATH LINE...: a test file of these lines.
test_file() {
	local path=$tree/tests/$1
	shift
	printf '%s\n' "$@" >"$path"
}

run_tree() {
	status=0
	"$tree/tests/run" "$@" >"$test_tmp/said" 2>&1 || status=$?
	cat "$test_tmp/said"
	last=$(tail -n 1 "$test_tmp/said")
}

counts() {
	local wanted_status=$1 wanted=$2
	shift 2
	make_tree
	test_file fault/one.sh "$@"
	run_tree check
	eq "$last" "$wanted" "last line"
	eq "$status" "$wanted_status" status
}

listed_skip() {
	make_tree
	printf 'tests/fault/one.sh: a\tno such disk here\n' >>"$tree/tests/skips"
	test_file fault/one.sh 'echo "ok 1 - a # SKIP none"'
	run_tree check
	eq "$last" "$base passed, 0 failed, 1 skipped" "last line"
}

failed_build() {
	make_tree
	printf 'user faulty sanitized unit-tests fault-tests fuzz-replay:\n\t@:\nguest-tests:\n\t@false\n' >"$tree/Makefile"
	run_tree check
	eq "$last" "$((base - 1)) passed, 1 failed, 0 skipped" "last line"
}

library_case() {
	make_tree
	test_file fault/one.sh ". $tests_dir/lib.sh" "$@"
	run_tree check
}

failing_command() {
	library_case 'f() { true; false; true; }' 'run_case "stops at the first failure" f'
	eq "$last" "$base passed, 1 failed, 0 skipped" "last line"
	grep -q 'line 2: status 1: false' "$test_tmp/said"
}

clean_up() {
	library_case 'f() { cleanup_fn echo first; cleanup_fn echo second; false; }' \
		'run_case "cleans up" f'
	grep -A1 second "$test_tmp/said" | grep -q first
}

never_comes_true() {
	library_case 'f() { wait_until 1 false; }' 'run_case "waits" f'
	eq "$last" "$base passed, 1 failed, 0 skipped" "last line"
}

nothing_selected() {
	make_tree
	run_tree vm --only nothing-of-that-name
	eq "$last" "$vm_base passed, 0 failed, 0 skipped" "last line"
}

# guest VERDICT: a stand-in for tools/vm that leaves this verdict once.
guest() {
	make_tree
	test_file vm/one.sh '# VM: module=no'
	test_file vm/two.sh '# VM: module=no'
	printf '%b' "$1" >"$tree/verdict"
	printf '%b' "${2:-}" >"$tree/oopses"
	cat >"$tree/tools/vm" <<-'END'
		#!/bin/sh
		while [ "$1" != --name ]; do shift; done
		mkdir -p "build/vm/$2"
		rm -f "build/vm/$2/console.log"
		if [ -e oopses ] && read -r words <oopses; then
			sed -i 1d oopses
			echo "$words" >"build/vm/$2/console.log"
			: >"build/vm/$2/verdict"
			exit 1
		fi
		mv verdict "build/vm/$2/verdict" || : >"build/vm/$2/verdict"
	END
	chmod +x "$tree/tools/vm"
	run_tree vm
}

both_files_of_a_guest() {
	guest 'file one.sh\nok 1 - a\nstatus 0 1\nfile two.sh\nok 1 - b\nstatus 0 1\nexit 0\n'
	eq "$last" "$((vm_base + 2)) passed, 0 failed, 0 skipped" "last line"
}

guest_dies() {
	guest 'file one.sh\nok 1 - a\nok 2 - b\n'
	eq "$last" "$((vm_base + 2)) passed, 2 failed, 0 skipped" "last line"
	eq "$status" 1 status
}

guest_dies_in_the_second_file() {
	guest 'file one.sh\nok 1 - a\nstatus 0 1\nfile two.sh\nok 1 - b\n'
	eq "$last" "$((vm_base + 2)) passed, 1 failed, 0 skipped" "last line"
}

# Once, and only for what it is known to do wrong.
emulator_loses_a_boot() {
	guest 'file one.sh\nok 1 - a\nstatus 0 1\nfile two.sh\nok 1 - b\nstatus 0 1\nexit 0\n' 'Oops: int3\n'
	eq "$last" "$((vm_base + 2)) passed, 0 failed, 0 skipped" "last line"
	guest '' 'Oops: int3\nOops: int3\nOops: int3\nOops: int3\n'
	eq "$last" "$vm_base passed, 2 failed, 0 skipped" "last line of one that always does"
	guest '' 'Oops: general protection\nOops: general protection\n'
	eq "$last" "$vm_base passed, 2 failed, 0 skipped" "last line of another oops"
}

guest_file_times_out() {
	guest 'file one.sh\nok 1 - a\nstatus 124 60\nfile two.sh\nok 1 - b\nstatus 0 1\nexit 0\n'
	eq "$last" "$((vm_base + 2)) passed, 1 failed, 0 skipped" "last line"
}

run_case "a file that passes" counts 0 "$((base + 2)) passed, 0 failed, 0 skipped" \
	'echo "ok 1 - a"; echo "ok 2 - b"'
run_case "a file that fails" counts 1 "$((base + 1)) passed, 1 failed, 0 skipped" \
	'echo "ok 1 - a"; echo "not ok 2 - b"; exit 1'
run_case "a file that fails and exits 0" counts 1 "$base passed, 1 failed, 0 skipped" \
	'echo "not ok 1 - a"'
run_case "a file that runs nothing" counts 1 "$base passed, 1 failed, 0 skipped" ':'
run_case "a file that dies after a pass" counts 1 "$((base + 1)) passed, 1 failed, 0 skipped" \
	'echo "ok 1 - a"; kill -SEGV $$'
run_case "a file that exits 3 after a pass" counts 1 "$((base + 1)) passed, 1 failed, 0 skipped" \
	'echo "ok 1 - a"; exit 3'
run_case "a file that takes too long" counts 1 "$((base + 1)) passed, 1 failed, 0 skipped" \
	'# RUN: limit=1' 'echo "ok 1 - a"; tail -f /dev/null'
run_case "a skip that is not listed" counts 1 "$base passed, 1 failed, 0 skipped" \
	'echo "ok 1 - a # SKIP no disk"'
run_case "a skip that is listed" listed_skip
run_case "a build that fails" failed_build
run_case "a case stops at the first command that fails" failing_command
run_case "a case cleans up, last one first" clean_up
run_case "a condition that never comes true fails" never_comes_true
run_case "no file selected: only the builds count" nothing_selected
run_case "a guest with two files" both_files_of_a_guest
run_case "a guest that dies" guest_dies
run_case "a guest whose boot the emulator loses" emulator_loses_a_boot
run_case "a guest that dies in its second file" guest_dies_in_the_second_file
run_case "a file in a guest that takes too long" guest_file_times_out
