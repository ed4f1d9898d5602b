# sandmount: `make demo` shows the main job, `make test` runs the whole suite.
# Variants: make CC=clang, make SAN=address,undefined, make SAN=thread, make DEV=1.
# Objects go to build/<variant>/; BUILD= chooses another directory.

VERSION := 0.1.0
PREFIX  ?= /usr/local
# mount(8) looks for mount.sandmount in /sbin only: SBINDIR=/sbin for fstab.
SBINDIR ?= $(PREFIX)/sbin
BINDIR   = $(DESTDIR)$(PREFIX)/bin
SHARE    = $(DESTDIR)$(PREFIX)/share
UNITDIR  = $(DESTDIR)$(PREFIX)/lib/systemd/user
ZSHDIR   = $(SHARE)/zsh/$(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)
CC      ?= cc
ifeq ($(origin CC),default)
CC      := gcc
endif
empty   :=
space   := $(empty) $(empty)
comma   := ,
VARIANT := $(CC)$(if $(SAN),-$(subst $(comma),-,$(SAN)))$(if $(DEV),-dev)$(if $(COV),-cov)$(if $(FAILPOINTS),-failpoints)
BUILD   ?= build/$(VARIANT)

PKGS    := fuse3 libarchive libcurl json-c glib-2.0 sqlite3 libgit2 libcrypto
WARN    := -Wall -Wextra -Wshadow -Wundef -Wvla -Wformat=2 -Wpointer-arith \
	   -Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes \
	   -Wimplicit-fallthrough
ifneq (,$(findstring clang,$(CC)))
WARN    += -Wthread-safety
endif
OPT     ?= -O2 -g
HARDEN  := -fstack-protector-strong -fPIE -U_FORTIFY_SOURCE \
	   $(if $(SAN),,-D_FORTIFY_SOURCE=2)
CFLAGS  ?=
ALL_CFLAGS = -std=gnu11 -I. -D_GNU_SOURCE -DFUSE_USE_VERSION=314 \
	   -D_FILE_OFFSET_BITS=64 -DSANDMOUNT_VERSION='"$(VERSION)"' \
	   $(WARN) $(OPT) $(HARDEN) -pthread $(PKG_CFLAGS) \
	   $(if $(DEV),-Werror -DSANDMOUNT_DEBUG) \
	   $(if $(FAILPOINTS),-DSANDMOUNT_FAILPOINTS) \
	   $(if $(COV),--coverage) \
	   $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer) $(CFLAGS)
ALL_LDFLAGS = -pie -pthread -Wl,-z,relro,-z,now \
	   $(if $(COV),--coverage) $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

# Folders, lowest first: each is one archive, and may use those before it.
LAYERS  := merge/lib merge transport fs/mirror fs/ctl fs/sync fs/fuse fs/cli
archive  = $(BUILD)/$(subst /,_,$(1)).a
sources  = $(filter-out $(if $(filter fs/cli,$(1)),fs/cli/main.c),\
	   $(wildcard $(1)/*.c))
objects  = $(patsubst %.c,$(BUILD)/%.o,$(call sources,$(1)))

# Which archives a unit test of each folder may link, highest first.
below_merge_lib := merge/lib
below_merge     := merge merge/lib
below_transport := transport merge merge/lib
below_fs_mirror := fs/mirror merge merge/lib
below_fs_ctl    := fs/ctl merge/lib
below_fs_sync   := fs/sync transport fs/mirror merge merge/lib
below_fs_fuse   := fs/fuse fs/mirror merge merge/lib
below_fs_cli    := fs/cli fs/fuse fs/sync fs/ctl transport fs/mirror merge merge/lib

GOALS_WITHOUT_LIBS := clean deps demo test help format uninstall fuzz
ifneq (,$(filter-out $(GOALS_WITHOUT_LIBS),$(or $(MAKECMDGOALS),all)))
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS))
PKG_LIBS   := $(shell pkg-config --libs $(PKGS))
ifeq (,$(PKG_LIBS))
$(error libraries are missing: run scripts/install-deps)
endif
CMOCKA_LIBS = $(shell pkg-config --libs cmocka)
endif

PROG := $(BUILD)/sandmount
# tests/unit/<folder with _>/test_*.c is linked with that folder and below.
UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(UNIT_SRC))
# tests/fuzz/fuzz_NAME.c is a libFuzzer target; clang only.
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ     := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(FUZZ_SRC))
FUZZ_SAN := address,undefined
# FUZZ_RUNS: replay the corpora and that many mutations of a fixed seed.
FUZZ_SECONDS ?= 60

.PHONY: all deps demo test check check-layers unit fuzz fuzz-targets e2e \
	bench proof install \
	uninstall clean format help deb
.SECONDARY:
.DELETE_ON_ERROR:

all: $(PROG)

help:
	@sed -n 's/^## //p' Makefile

## make demo       install what is missing, build, and show the main job
demo:
	@scripts/demo

## make test       install what is missing, build, and run every test
test:
	@scripts/run-tests

## make deps       install the Debian packages that build and tests need
deps:
	@scripts/install-deps

## make unit       build and run the unit tests
unit: $(UNIT)
	@scripts/run-unit $(UNIT)

## make fuzz       fuzz each parser for FUZZ_SECONDS= (T= picks one), or replay
##                 the corpora and FUZZ_RUNS= mutations of a fixed seed
fuzz:
	@$(MAKE) CC=clang SAN=fuzzer-no-link,$(FUZZ_SAN) OPT="-O1 -g" \
		CFLAGS=-fno-sanitize-recover=undefined \
		BUILD=build/fuzz fuzz-targets
	@FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_RUNS=$(FUZZ_RUNS) \
		scripts/run-fuzz build/fuzz $(T)
fuzz-targets: $(FUZZ)

## make e2e        run the end-to-end tests with real mounts (T= picks)
e2e: all
	@scripts/run-e2e $(PROG) $(T)

## make check      the layers, headers and formats
check: check-layers
check-layers:
	@scripts/check-layers

## make bench      speed against the plain disk, sshfs and rclone (BENCH= options)
bench: all
	@python3 -B tests/bench/run $(PROG) $(BENCH)

## make proof      run what proves the promises and put the counts into the README
##                 (T= picks steps: kills instants power writers
##                 hostile fuzz)
proof: all
	@scripts/proof $(PROG) $(T)

$(PROG): $(BUILD)/fs/cli/main.o $(foreach l,$(below_fs_cli),$(call archive,$(l)))
	@echo "  LD    $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# Tables of tests override defaults on purpose.
$(BUILD)/tests/%.o: WARN += -Wno-override-init

define archive_rule
$(call archive,$(1)): $(call objects,$(1))
	@echo "  AR    $$@"
	@rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach l,$(LAYERS),$(eval $(call archive_rule,$(l))))

# Scripts that run in the sandbox are shell files, built in as strings.
$(BUILD)/%.sh.h: %.sh scripts/embed
	@mkdir -p $(@D)
	@scripts/embed $< >$@

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(ALL_CFLAGS) -I$(BUILD) -MMD -MP -c -o $@ $<

define unit_rule
$(BUILD)/tests/unit/$(1)/%: $(BUILD)/tests/unit/$(1)/%.o \
		$(foreach l,$(below_$(1)),$(call archive,$(l)))
	@echo "  LD    $$@"
	@$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(PKG_LIBS) $$(CMOCKA_LIBS)
endef
$(foreach f,merge_lib merge transport fs_mirror fs_ctl fs_sync fs_fuse fs_cli,\
	$(eval $(call unit_rule,$(f))))

$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o \
		$(BUILD)/tests/fuzz/scratch.o \
		$(foreach l,$(filter-out fs/cli fs/fuse,$(below_fs_cli)),\
		$(call archive,$(l)))
	@echo "  LD    $@"
	@$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer,$(FUZZ_SAN) -o $@ $^ $(PKG_LIBS)

SHELL_HDRS := $(patsubst %.sh,$(BUILD)/%.sh.h,$(wildcard transport/*.sh))
$(call objects,transport): | $(SHELL_HDRS)

## make install    PREFIX=/usr/local, DESTDIR= for packaging
install: $(if $(INSTALL_PROG),,all)
	install -D -m 0755 $(or $(INSTALL_PROG),$(PROG)) $(BINDIR)/sandmount
	install -D -m 0755 scripts/dist/mount.sandmount \
		$(DESTDIR)$(SBINDIR)/mount.sandmount
	install -D -m 0644 fs/cli/sandmount.1 \
		$(SHARE)/man/man1/sandmount.1
	install -D -m 0644 fs/cli/sandmount-config.5 \
		$(SHARE)/man/man5/sandmount-config.5
	install -D -m 0644 scripts/dist/sandmount.bash \
		$(SHARE)/bash-completion/completions/sandmount
	install -D -m 0644 scripts/dist/_sandmount $(ZSHDIR)/_sandmount
	install -D -m 0644 scripts/dist/sandmount.fish \
		$(SHARE)/fish/vendor_completions.d/sandmount.fish
	install -D -m 0644 scripts/dist/config.schema.json \
		$(SHARE)/sandmount/config.schema.json
	install -D -m 0644 scripts/dist/config.example.jsonc \
		$(SHARE)/sandmount/config.example.jsonc
	install -d $(UNITDIR)
	sed 's|@BINDIR@|$(PREFIX)/bin|' scripts/dist/sandmount@.service \
		>$(UNITDIR)/sandmount@.service
	chmod 0644 $(UNITDIR)/sandmount@.service

uninstall:
	rm -f $(BINDIR)/sandmount $(DESTDIR)$(SBINDIR)/mount.sandmount \
		$(SHARE)/man/man1/sandmount.1 \
		$(SHARE)/man/man5/sandmount-config.5 \
		$(SHARE)/bash-completion/completions/sandmount \
		$(ZSHDIR)/_sandmount \
		$(SHARE)/fish/vendor_completions.d/sandmount.fish \
		$(SHARE)/sandmount/config.schema.json \
		$(SHARE)/sandmount/config.example.jsonc \
		$(UNITDIR)/sandmount@.service
	rmdir $(SHARE)/sandmount 2>/dev/null || true

## make deb        a Debian package, build/sandmount_*.deb
deb: all
	@MAKE="$(MAKE)" scripts/dist/make-deb $(abspath $(PROG)) $(VERSION) build

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf build

-include $(shell [ -d $(BUILD) ] && find $(BUILD) -name '*.d')
