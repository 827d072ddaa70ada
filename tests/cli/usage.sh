#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: what the command line gets wrong ends with status 3, the subcommand's
# usage line and cause and cure, in JSON where JSON was asked for; help and the
# manual name everything there is.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

bf=${BLKFERRY:-build/blkferry}
commands=(track untrack stats extents plan copy run receive status sync pause
	resume cancel cutover thaw verify set report targets key metrics diag)

nothing_given() {
	expect_status 3 "$bf"
	grep -q '^usage: blkferry COMMAND' "$test_tmp/out"
}

help_names_all() {
	local command
	"$bf" --help >"$test_tmp/help"
	cmp "$test_tmp/help" <("$bf" help)
	for command in "${commands[@]}"; do
		grep -qE "^  $command " "$test_tmp/help" || fail "no $command"
	done
	eq "$(grep -cE '^  [a-z]+ ' "$test_tmp/help")" "${#commands[@]}" "subcommands"
}

each_has_help() {
	local command
	for command in "${commands[@]}"; do
		expect_status 0 "$bf" "$command" --help
		grep -q "^blkferry $command: " "$test_tmp/out"
		grep -q -- --json "$test_tmp/out"
		expect_status 0 "$bf" "$command" -h
	done
}

unknown_command() {
	expect_status 3 "$bf" teleport
	grep -q 'there is no subcommand "teleport"; blkferry --help' "$test_tmp/out"
}

unknown_option() {
	local command
	for command in "${commands[@]}"; do
		expect_status 3 "$bf" "$command" --sideways
		grep -q -- '--sideways: unknown option' "$test_tmp/out"
		grep -q "^usage: blkferry $command " "$test_tmp/out"
	done
}

missing_argument() {
	local command
	for command in track untrack extents plan copy run sync pause resume cancel \
		cutover thaw verify report; do
		expect_status 3 "$bf" "$command"
		grep -q ' is missing' "$test_tmp/out"
		grep -q "^usage: blkferry $command " "$test_tmp/out"
	done
}

too_many_arguments() {
	expect_status 3 "$bf" track a b
	grep -q '"b" is one argument too many' "$test_tmp/out"
	expect_status 3 "$bf" receive now
	expect_status 3 "$bf" key a
	expect_status 3 "$bf" status a b
}

bad_values() {
	fails_saying 'power of two from 4K to 64M' "$bf" track /dev/null -g 5K
	fails_saying 'is not a size' "$bf" track /dev/null --granularity big
	fails_saying 'is not a time' "$bf" cutover web --max-downtime soon
	fails_saying 'hold, poweroff or thaw' "$bf" cutover web --then dance
	fails_saying 'without a leading dot or dash' "$bf" sync ../web
	fails_saying 'without a leading dot or dash' "$bf" status .web
	expect_status 3 "$bf" cutover web --max-downtime 0
}

no_block_device() {
	expect_status 3 "$bf" track "$0"
	grep -q 'is not a block device: name a disk' "$test_tmp/out"
	expect_status 1 "$bf" track /dev/nonexistent
	grep -q 'No such file' "$test_tmp/out"
}

json_errors() {
	local line
	line=$("$bf" sync --json ../web) && fail "succeeded"
	eq "$(jq -c '[.format_version, .ok, .error.code]' <<<"$line")" '[1,false,"usage"]'
	line=$("$bf" teleport --json) && fail "succeeded"
	eq "$(jq -r .error.code <<<"$line")" usage
	line=$("$bf" track --json --sideways) && fail "succeeded"
	eq "$(jq -r .error.code <<<"$line")" usage
	eq "$(wc -l <<<"$line")" 1 "lines"
	line=$("$bf" --json track --sideways) && fail "succeeded"
	eq "$(jq -r .ok <<<"$line")" false
}

json_words_any_bytes() {
	local line
	line=$("$bf" track --json "/dev/"$'\xff\xfe') && fail "succeeded"
	eq "$(jq -r .error.code <<<"$line")" not-found
}

version() {
	expect_status 0 "$bf" --version
	grep -qE '^blkferry [0-9]' "$test_tmp/out"
}

output_that_fails() {
	local status=0
	"$bf" --help >/dev/full 2>"$test_tmp/err" || status=$?
	eq "$status" 1
	grep -q 'cannot write the output' "$test_tmp/err"
}

manual_names_all() {
	local command option code status
	for command in "${commands[@]}"; do
		grep -qE "^\.B[IR]? ?\"?$command\b" user/man/blkferry.8 ||
			fail "the manual has no $command"
		for option in $("$bf" "$command" --help | grep -oE -- '--[a-z-]+'); do
			grep -qF -- "${option//-/\\-}" user/man/blkferry.8 ||
				fail "the manual has no $command $option"
		done
	done
	while read -r code status; do
		grep -qE "^$code	$status	" user/man/blkferry.8 ||
			fail "the manual has no code $code with status $status"
		grep -qE "^$code	T\{" user/man/blkferry-migration.7 ||
			fail "troubleshooting has no code $code"
	done < <(error_table)
}

# "code status" of each line of the table in error.h
error_table() {
	local number
	declare -A numbers=()
	while read -r code number; do
		numbers[$code]=$number
	done < <(sed -nE 's/^\t(BF_EXIT_[A-Z_]+)\t*= ([0-9]),.*/\1 \2/p' user/lib/error.h)
	sed -nE 's/^\tX\(BF_E_[A-Z_]+,\t+[0-9]+, *"([a-z-]+)",[ \t]*(BF_EXIT_[A-Z_]+)\).*/\1 \2/p' \
		user/lib/error.h | while read -r code number; do
		[ "$code" = none ] || echo "$code ${numbers[$number]}"
	done
}

error_table_is_read() {
	eq "$(error_table | wc -l)" "$(grep -cE '^	X\(BF_E_[^N]|^	X\(BF_E_NO[^N]' user/lib/error.h)" \
		"lines of the error table"
}

manuals_format() {
	requires man
	local page
	for page in user/man/*; do
		LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -l "$page" 2>&1 >/dev/null |
			tee "$test_tmp/warnings"
		[ ! -s "$test_tmp/warnings" ] || fail "$page"
	done
}

manual_names_keys() {
	local key
	while read -r key; do
		grep -qE -- "^\.B[IR] \"${key//-/\\\\-} = " user/man/blkferry.conf.5 ||
			fail "the manual has no key $key"
		grep -qE "^#?$key = " user/examples/job.conf || [ "$key" = overwrite ] ||
			fail "the example has no key $key"
	done < <(sed -nE 's/^\t(JOB|DISK|DISK_REQUIRED)\("([a-z-]+)".*/\2/p' user/lib/config_job.c)
	while read -r key; do
		grep -qE "^\.B[IR] \"$key = " user/man/blkferry-receiver.conf.5 ||
			fail "the manual has no key $key"
		grep -qE "^#?$key = " user/examples/receiver.conf ||
			fail "the example has no key $key"
	done < <(sed -nE 's/^\t(RECEIVER|PEER|PEER_OPTIONAL|TARGET|TARGET_REQUIRED)\("([a-z-]+)".*/\2/p' user/lib/config_receiver.c)
}

# complete WORD...: what bash would offer for the last word.
complete_words() {
	PATH=$(cd "$(dirname "$bf")" && pwd):$PATH bash -c '
		. user/completion/blkferry
		COMP_WORDS=(blkferry "$@") COMP_CWORD=$#
		_blkferry
		printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}

completion() {
	eq "$(complete_words "" | sort | xargs)" "$(printf '%s\n' "${commands[@]}" | sort | xargs)"
	eq "$(complete_words cut)" cutover
	eq "$(complete_words cutover web --then p)" poweroff
	eq "$(complete_words cutover web --max)" --max-downtime
	eq "$(complete_words track /dev/nu)" "" "not a block device"
}

run_case "nothing given shows the overview" nothing_given
run_case "the overview names every subcommand" help_names_all
run_case "every subcommand has its help" each_has_help
run_case "an unknown subcommand" unknown_command
run_case "an unknown option of every subcommand" unknown_option
run_case "a missing argument" missing_argument
run_case "an argument too many" too_many_arguments
run_case "values that make no sense" bad_values
run_case "a path that is no block device" no_block_device
run_case "errors as JSON, wherever --json stands" json_errors
run_case "errors as JSON whatever bytes a name has" json_words_any_bytes
run_case "the version" version
run_case "output that cannot be written is no success" output_that_fails
run_case "the error table is read whole" error_table_is_read
run_case "the manual names every subcommand, option and code" manual_names_all
run_case "the manual and the examples name every key" manual_names_keys
run_case "the manuals format without a warning" manuals_format
run_case "completion" completion
