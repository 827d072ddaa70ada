#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: release.bash beside this file says it, here for Debian 12.
# RUN: limit=900
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

run_program "$tests_dir/../tools/root" bookworm "$test_tmp/out" \
	bash /src/tests/package/release.bash
