#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: a report is taken once its job is cut over, one of each cutover, never
# before, and replaces none of earlier ones; what is no JSON object is refused; it is shown for what its sender says, under the name
# that the receiver knows the sender by, and commands no terminal. Measuring the
# link changes nothing and has its place before the claim.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/fault/receiver.bash
. "$(dirname "$0")/receiver.bash"

# come_to_end NAME EPOCH: a job, with a cutover.
come_to_end() {
	writer "$1" web "$2" restart
	tell "$1" begin 0 "$2"
	tell "$1" zero 0 "$2" 0 16777216
	tell "$1" barrier 0 "$2" 16777216 complete
	tell "$1" cutover "$2"
}

cut_over() {
	configure 10s
	start_receiver
	come_to_end "$1" 1
}

report() { "$bf" report web --config "$receiver_conf" "$@"; }

report_is_kept() {
	cut_over p
	fails_saying 'no job web has left a report' report
	tell p report '{"job":"other","peer":"somebody","state":"done\u001b[2J","passes":7,"disks":[{"name":"root","size_bytes":4096,"skipped_bytes":0}]}'
	report --json >"$test_tmp/json"
	eq "$(jq -r '.job + " " + .peer + " \(.passes)"' "$test_tmp/json")" "web alice 7"
	report >"$test_tmp/text"
	grep -qF 'done?[2J' "$test_tmp/text"
	grep -qE '^root .*4K' "$test_tmp/text"
	refused p "protocol: a second REPORT of one cutover" report '{"passes":8}'
	eq "$(report --json | jq .passes)" 7
}

# The same job once more: its last report is shown, the one before is there yet.
none_is_replaced() {
	cut_over p
	tell p report '{"passes":7,"description":"shop","labels":{"site":"berlin"}}'
	eq "$("$bf" targets --config "$receiver_conf" --json |
		jq -c '.targets[0] | [.target, .state, .job, .description, .labels]')" \
		'["a","cut-over","web","shop",{"site":"berlin"}]' target
	"$bf" targets --config "$receiver_conf" | grep -qE '^a .* cut-over +web .* shop +site=berlin$'
	"$bf" receive --config "$receiver_conf" --reopen a
	come_to_end q 2
	tell q report '{"passes":8}'
	eq "$(report --json | jq .passes)" 8
	eq "$(report --all --json | jq .passes | xargs)" "7 8"
	eq "$(report --all | grep -c '^ *passes')" 2
	eq "$(find "$test_tmp/records/reports" -name 'web.*@000[12].json' | wc -l)" 2 files
}

no_object_is_refused() {
	cut_over p
	refused p "protocol: REPORT is no JSON object" report '[1]'
	fails_saying 'no job web' report
	connect q alice
	tell q hello web
	refused q "protocol: REPORT came before CLAIM" report '{}'
}

not_before_the_cutover() {
	configure 10s
	start_receiver
	writer p web 1 restart
	refused p "protocol: REPORT came after CLAIM" report '{}'
	fails_saying 'no job web' report
}

link_is_measured() {
	configure 10s
	start_receiver
	connect p alice
	refused p "protocol: MEASURE came before HELLO" measure
	connect q alice
	tell q hello web
	tell q open a 16777216 ro
	tell q measure
	tell q measure
	fails_saying . ls "$test_tmp"/records/web.*.json
	writer r web 1
	refused r "protocol: MEASURE came after CLAIM" measure
}

run_case "a report is kept and shown" report_is_kept
run_case "a report of the next cutover replaces none" none_is_replaced
run_case "what is no report is refused" no_object_is_refused
run_case "no report before the cutover" not_before_the_cutover
run_case "the link is measured, nothing else" link_is_measured
