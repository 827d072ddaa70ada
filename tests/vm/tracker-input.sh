# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: whatever comes over netlink that the contract does not allow is
# refused with the errno it names, changes nothing, and says nothing to callers
# without privilege. CAP_NET_ADMIN and CAP_SYS_ADMIN are both needed, in the
# initial namespaces.
# VM: disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M limit=300 kernels=all+generic+rt+fault check=5.10+6.12+7+fault
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

answers() {
	local wanted=$1 got
	shift
	got=$(whatever "$@" bad_input call | head -n 1)
	eq "$got" "$wanted" "answer to: $*"
}

run_program bad_input "$d0" "$d1"

run_case "root is answered" answers answered env
run_case "a user without privilege is refused" \
	answers EPERM setpriv --reuid 65534 --clear-groups
run_case "without CAP_SYS_ADMIN root is refused" \
	answers EPERM setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin
run_case "without CAP_NET_ADMIN root is refused" \
	answers EPERM setpriv --bounding-set=-net_admin --inh-caps=-net_admin
run_case "root of a user namespace is refused" \
	answers EPERM unshare --user --map-root-user
run_case "another network namespace does not know the family" \
	expect_status 2 unshare --net bad_input call
