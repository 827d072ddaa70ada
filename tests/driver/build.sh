#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: without headers for the running kernel the build makes userspace only,
# says so and what to install, and succeeds; headers that were named and are none
# fail it.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

release=9.9.9-none

# A machine that runs a kernel without headers.
mkdir "$test_tmp/bin"
printf '#!/bin/sh\necho %s\n' $release >"$test_tmp/bin/uname"
chmod +x "$test_tmp/bin/uname"

build_module() {
	PATH=$test_tmp/bin:$PATH tools/build-module "$1" "$test_tmp/build"
}

no_headers() {
	expect_status 0 build_module "/lib/modules/$release/build"
	grep -q 'only userspace was built' "$test_tmp/out"
	grep -q "linux-headers-$release" "$test_tmp/out"
	[ ! -e "$test_tmp/build" ]
}

wrong_headers() {
	expect_status 1 build_module "$test_tmp"
	grep -q "$test_tmp holds no kernel headers" "$test_tmp/out"
}

run_case "no headers for the running kernel" no_headers
run_case "headers that were named and are none" wrong_headers
