# SPDX-License-Identifier: Apache-2.0
# Thin: says what can be built and run; how is said by Kbuild, tools/ and tests/.
# `make V=1` shows commands, `make CC=clang` changes the compiler, `make
# SANITIZE=address,undefined` builds userspace with sanitizers, `make KDIR=DIR`
# builds the module for the kernel whose headers are in DIR.

CC ?= gcc
KDIR ?= /lib/modules/$(shell uname -r)/build
B ?= build
PREFIX ?= /usr/local
Q := $(if $(V),,@)

PKGS := libnl-genl-3.0 liburing libzstd openssl blkid jansson libxxhash popt \
	smartcols mount libsystemd ini_config ncursesw libkmod
# Of the programs for onlookers alone (user/helpers): HELPER_PKGS_program.
HELPERS := metrics diag
HELPER_PKGS_metrics := libmicrohttpd
HELPER_PKGS_diag := libarchive
# What sanitizers watch need not be fast, but is built for each check.
USER_CFLAGS := -std=gnu11 $(if $(SANITIZE),-O1,-O2) -g -D_GNU_SOURCE -Wall -Wextra -Werror \
	-Wmissing-prototypes -Wstrict-prototypes -Wshadow -Wpointer-arith \
	-Wno-unused-parameter -fno-strict-aliasing -fstack-protector-strong \
	-pthread -Iinclude -Iinclude/uapi -Iuser \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer) \
	$(EXTRA_CFLAGS)
USER_LDLIBS = $(shell pkg-config --libs $(PKGS)) -pthread \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(EXTRA_LDFLAGS)
# The library's own choice of the widest vectors, where it has one.
XXH_DISPATCH := $(shell echo 'int main(void) { return XXH3_64bits_update(0, 0, 0); }' | \
	$(CC) -include xxh_x86dispatch.h -x c -o /dev/null - -lxxhash 2>/dev/null && \
	echo -DBF_XXH_DISPATCH)
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS)) $(XXH_DISPATCH)
HELPER_LDLIBS = $(shell pkg-config --libs $(HELPER_PKGS_$*))

LIB_SRC := $(wildcard user/lib/*.c user/source/*.c user/target/*.c)
CLI_SRC := $(filter-out user/cli/main.c,$(wildcard user/cli/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/obj/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(B)/obj/%.o)
MAIN_OBJ := $(B)/obj/user/cli/main.o
HELPER_OBJ := $(HELPERS:%=$(B)/obj/user/helpers/%.o)
$(HELPER_OBJ): PKG_CFLAGS += $(shell pkg-config --cflags $(foreach h,$(HELPERS),$(HELPER_PKGS_$(h))))

UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/asan/unit/%,$(wildcard tests/unit/*_test.c))
GUEST_TESTS := $(patsubst tests/vm/%.c,$(B)/guest/%,$(wildcard tests/vm/*.c))
FUZZ_TARGETS := $(wildcard tests/fuzz/*_fuzz.c)
FAULT_TESTS := $(patsubst tests/fault/%.c,$(B)/fault/%,$(wildcard tests/fault/*.c))

.PHONY: all user module demo demo-system check check-full check-vm soak bench lint fuzz clean \
	install install-source deb rpm FORCE bench-programs unit-tests guest-tests fault-tests sanitized \
	faulty fuzz-replay fuzz-programs thread-tests

all: user module

user: $(B)/blkferry $(HELPERS:%=$(B)/blkferry-%)

$(B)/blkferry: $(MAIN_OBJ) $(B)/libcli.a $(B)/libblkferry.a
	@echo "  LD      $@"
	$(Q)$(CC) $(USER_CFLAGS) -o $@ $^ -Wl,--as-needed $(USER_LDLIBS)

$(HELPERS:%=$(B)/blkferry-%): $(B)/blkferry-%: $(B)/obj/user/helpers/%.o $(B)/libcli.a \
		$(B)/libblkferry.a
	@echo "  LD      $@"
	$(Q)$(CC) $(USER_CFLAGS) -o $@ $^ -Wl,--as-needed $(HELPER_LDLIBS) $(USER_LDLIBS)

$(B)/libblkferry.a: $(LIB_OBJ)
$(B)/libcli.a: $(CLI_OBJ)
$(B)/libblkferry.a $(B)/libcli.a:
	@echo "  AR      $@"
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(USER_CFLAGS) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

-include $(patsubst %.o,%.d,$(LIB_OBJ) $(CLI_OBJ) $(MAIN_OBJ) $(HELPER_OBJ))

# A test says in a comment "BUILD: flags and sources" what it needs besides the
# library; unit tests and their library are built with sanitizers.
test_build = $(shell sed -n '1,5s@.*BUILD: \(.*\) \*/@\1@p' $(1))

TEST_DEPS := $(wildcard tests/*/*.h tests/vm/*/*.c tests/unit/shim/*.h tests/unit/shim/*/*.h \
	kmod/*.[ch] include/*.h include/uapi/linux/*.h user/*/*.h)

unit-tests: $(UNIT_TESTS)

guest-tests: $(GUEST_TESTS)

fault-tests: $(FAULT_TESTS)

sanitized: $(B)/asan/libblkferry.a

$(B)/asan/libblkferry.a: FORCE
	$(Q)$(MAKE) --no-print-directory B=$(B)/asan \
		SANITIZE=address,undefined $(B)/asan/libblkferry.a

$(B)/asan/unit/%: tests/unit/%.c $(B)/asan/libblkferry.a $(TEST_DEPS)
	@mkdir -p $(@D)
	@echo "  TEST    $@"
	$(Q)$(CC) $(USER_CFLAGS) -O1 $(PKG_CFLAGS) -fsanitize=address,undefined \
		-fno-omit-frame-pointer -fno-sanitize-recover=all -o $@ $< \
		$(call test_build,$<) $(B)/asan/libblkferry.a $(USER_LDLIBS)

# What has threads, watched by the thread sanitizer, for `make check-full`.
THREAD_TESTS := $(patsubst %,$(B)/tsan/unit/%_test,ring transport session \
	session_refusal pass pass_fail pass_local resync connections control pool log \
	guardian hook)

thread-tests: $(THREAD_TESTS)

$(B)/tsan/libblkferry.a: FORCE
	$(Q)$(MAKE) --no-print-directory B=$(B)/tsan SANITIZE=thread \
		$(B)/tsan/libblkferry.a

$(B)/tsan/unit/%: tests/unit/%.c $(B)/tsan/libblkferry.a $(TEST_DEPS)
	@mkdir -p $(@D)
	@echo "  TEST    $@"
	$(Q)$(CC) $(USER_CFLAGS) $(PKG_CFLAGS) -fsanitize=thread \
		-fno-omit-frame-pointer -o $@ $< \
		$(call test_build,$<) $(B)/tsan/libblkferry.a $(USER_LDLIBS)

# Static programs start four times faster in an emulated guest.
STATIC_LDLIBS := -Wl,--no-warnings -lnl-genl-3 -lnl-3 -pthread
guest_libs = $(if $(findstring -static,$(1)),$(STATIC_LDLIBS),$(USER_LDLIBS))

bench-programs: $(B)/bench/walk $(B)/bench/costs $(B)/bench/fan_in $(B)/bench/bare

$(B)/bench/%: tests/bench/%.c $(B)/libblkferry.a $(TEST_DEPS)
	@mkdir -p $(@D)
	@echo "  BENCH   $@"
	$(Q)$(CC) $(USER_CFLAGS) $(PKG_CFLAGS) -o $@ $< $(call test_build,$<) \
		$(B)/libblkferry.a $(call guest_libs,$(call test_build,$<))

$(B)/guest/%: tests/vm/%.c $(B)/libblkferry.a $(TEST_DEPS)
	@mkdir -p $(@D)
	@echo "  TEST    $@"
	$(Q)$(CC) $(USER_CFLAGS) $(PKG_CFLAGS) -o $@ $< $(call test_build,$<) \
		$(B)/libblkferry.a $(call guest_libs,$(call test_build,$<))

$(B)/fault/%: tests/fault/%.c $(B)/libblkferry.a $(TEST_DEPS)
	@mkdir -p $(@D)
	@echo "  TEST    $@"
	$(Q)$(CC) $(USER_CFLAGS) $(PKG_CFLAGS) -o $@ $< \
		$(call test_build,$<) $(B)/libblkferry.a $(USER_LDLIBS)

# The command with fault points in it, and a step after each MiB, of a resync, too;
# it speaks as another release does if it is told to.
faulty:
	$(Q)$(MAKE) --no-print-directory B=$(B)/faulty user \
		EXTRA_CFLAGS="-DBF_FAULTS -DBF_STEP_BYTES=1048576 -DBF_ASK_BYTES=1048576 \
			-include tests/fault/release.h"

# A fuzz target with the kept corpus, for `make check`, or with libFuzzer.
fuzz-replay: $(FUZZ_TARGETS:tests/fuzz/%.c=$(B)/asan/fuzz/%)

$(B)/asan/fuzz/%: tests/fuzz/%.c tests/fuzz/replay.c tests/fuzz/fuzz.h \
		$(B)/asan/libblkferry.a $(TEST_DEPS)
	@mkdir -p $(@D)
	@echo "  TEST    $@"
	$(Q)$(CC) $(USER_CFLAGS) $(PKG_CFLAGS) -fsanitize=address,undefined \
		-fno-omit-frame-pointer -fno-sanitize-recover=all -o $@ $< \
		tests/fuzz/replay.c $(B)/asan/libblkferry.a $(USER_LDLIBS)

FUZZ_SANITIZE := fuzzer-no-link,address,undefined

$(B)/fuzz/libblkferry.a: FORCE
	$(Q)$(MAKE) --no-print-directory B=$(B)/fuzz CC=clang \
		SANITIZE=$(FUZZ_SANITIZE) $(B)/fuzz/libblkferry.a

$(B)/fuzz/%_fuzz: tests/fuzz/%_fuzz.c tests/fuzz/fuzz.h $(B)/fuzz/libblkferry.a \
		$(TEST_DEPS)
	@mkdir -p $(@D)
	@echo "  FUZZ    $@"
	$(Q)clang $(USER_CFLAGS) $(PKG_CFLAGS) -fsanitize=fuzzer,address,undefined \
		-fno-omit-frame-pointer -fno-sanitize-recover=all -o $@ $< \
		$(B)/fuzz/libblkferry.a $(USER_LDLIBS)

fuzz-programs: $(FUZZ_TARGETS:tests/fuzz/%.c=$(B)/fuzz/%)

fuzz:
	$(Q)tests/fuzz/run $(or $(T),60) $(FUZZ)

# Built in a copy under $(B), so that one checkout serves many kernels at once.
module:
	$(Q)tools/build-module "$(KDIR)" "$(B)"

demo:
	$(Q)tools/demo $(if $(OUT),--out "$(OUT)")

demo-system:
	$(Q)tools/demo-system $(if $(OUT),--out "$(OUT)")

check:
	$(Q)tests/run check

check-full:
	$(Q)tests/run full

check-vm:
	$(Q)tests/run vm $(if $(KERNEL),--kernel "$(KERNEL)")

soak:
	$(Q)SOAK_SECONDS=$(or $(T),600) tests/run soak $(if $(KERNEL),--kernel "$(KERNEL)")

bench: user
	$(Q)tests/bench/run $(BENCH)

lint:
	$(Q)tools/lint

# The command and what belongs to it; DESTDIR= goes in front of every path.
SHARE := $(DESTDIR)$(PREFIX)/share
UNITS ?= $(PREFIX)/lib/systemd/system

install: user
	install -D -m 755 $(B)/blkferry $(DESTDIR)$(PREFIX)/sbin/blkferry
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/libexec/blkferry $(HELPERS:%=$(B)/blkferry-%)
	install -D -m 644 -t $(SHARE)/man/man8 user/man/*.8
	install -D -m 644 -t $(SHARE)/man/man5 user/man/*.5
	install -D -m 644 -t $(SHARE)/man/man7 user/man/*.7
	install -D -m 644 -t $(SHARE)/bash-completion/completions user/completion/*
	install -D -m 644 -t $(SHARE)/doc/blkferry/examples user/examples/*
	chmod 755 $(SHARE)/doc/blkferry/examples/hook-*
	install -D -m 644 -t $(DESTDIR)$(UNITS) user/systemd/*
	sed -i 's@/usr/sbin/@$(PREFIX)/sbin/@' $(DESTDIR)$(UNITS)/blkferry*.service
	install -d -m 700 $(DESTDIR)/etc/blkferry/jobs

# The module's source where DKMS looks for it.
VERSION ?= $(shell sed -n '1s/.*(\(.*\)).*/\1/p' dkms/debian/changelog)
MODULE_DIR = $(DESTDIR)/usr/src/blkferry-$(VERSION)

install-source:
	install -d $(MODULE_DIR)/include
	cp -r Kbuild kmod $(MODULE_DIR)/
	cp -r include/uapi $(MODULE_DIR)/include/
	find $(MODULE_DIR) -type f ! -name '*.sh' -exec chmod 644 {} +

# Packages of the release that this runs in, left in $(B).
deb:
	$(Q)tools/deb "$(B)"

rpm:
	$(Q)tools/rpm "$(B)"

clean:
	rm -rf $(B)
