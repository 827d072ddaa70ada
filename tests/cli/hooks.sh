#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: the hooks that are given as examples do what they say: a setting that one
# changes before the freeze is as it was after the thaw, however often and however
# far the first came; one whose server fails fails, so that nothing is frozen.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

# Clients that note what they are told; "mysql" has the one setting.
mkdir "$test_tmp/bin"
cat >"$test_tmp/bin/mysql" <<'END'
#!/bin/sh
[ ! -e "$SERVER/down" ] || exit 1
echo "$*" >>"$SERVER/told"
case $* in
*SELECT*) cat "$SERVER/setting" ;;
*"SET GLOBAL"*) echo "$*" | sed -n 's/.*pct = \([0-9.]*\).*/\1/p' >"$SERVER/setting" ;;
esac
END
cat >"$test_tmp/bin/runuser" <<'END'
#!/bin/sh
[ ! -e "$SERVER/down" ] || exit 1
echo "$*" >>"$SERVER/told"
END
chmod +x "$test_tmp"/bin/*

# hook NAME WHEN
hook() {
	PATH=$test_tmp/bin:$PATH SERVER=$test_tmp/server BLKFERRY_JOB=web BLKFERRY_HOOK=$2 \
		RUNTIME_DIRECTORY=$test_tmp/server "user/examples/hook-$1"
}

server() {
	rm -rf "$test_tmp/server"
	mkdir "$test_tmp/server"
	echo 75.5 >"$test_tmp/server/setting"
}

setting_is() { eq "$(cat "$test_tmp/server/setting")" "$1" "innodb_max_dirty_pages_pct"; }

mysql_is_as_before() {
	server
	hook mysql pre-freeze
	setting_is 0
	hook mysql post-thaw
	setting_is 75.5
}

# A hold leaves the setting as it is; the next cutover must not take that for its own.
mysql_twice() {
	server
	hook mysql pre-freeze
	hook mysql pre-freeze
	hook mysql post-thaw
	setting_is 75.5
	hook mysql post-thaw
	setting_is 75.5
}

mysql_is_down() {
	server
	touch "$test_tmp/server/down"
	expect_status 1 hook mysql pre-freeze
	rm "$test_tmp/server/down"
	hook mysql post-thaw
	setting_is 75.5
}

postgresql() {
	server
	hook postgresql pre-freeze
	grep -q 'postgres -- psql .*CHECKPOINT' "$test_tmp/server/told"
	touch "$test_tmp/server/down"
	expect_status 1 hook postgresql pre-freeze
	hook postgresql post-thaw
}

run_case "mysql: as it was before" mysql_is_as_before
run_case "mysql: twice, without a thaw between" mysql_twice
run_case "mysql: the server is down" mysql_is_down
run_case "postgresql: a checkpoint, or none of it" postgresql
