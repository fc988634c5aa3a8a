# SPDX-License-Identifier: MIT
# GNU make. `make help` lists the targets; scripts/setup.sh installs what is needed.
#
# BUILD=release|debug|asan|tsan|fuzz|fuzzplain|fuzzafl|cover chooses the flags, BUILDDIR the folder (each build has one of its own).

BUILD ?= release
ifeq ($(BUILD),release)
BUILDDIR ?= build
else
BUILDDIR ?= build/$(BUILD)
endif
TOOLS ?= build/tools
CC := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))
PYTHON ?= python3
B := $(BUILDDIR)

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

# ---- flags -------------------------------------------------------------------------------------

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 \
        -Wundef -Wconversion -Wno-sign-conversion -Werror
CSTD := -std=c17 -D_GNU_SOURCE
INC := -I. -I$(B)/gen -isystem /usr/include/llhttp -isystem /usr/share/include/llhttp
HARDEN := -fstack-protector-strong -fno-common
ifeq ($(shell uname -m),x86_64)
HARDEN += -fcf-protection
endif
FORTIFY := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2

ifeq ($(BUILD),release)
OPT := -O2 -g $(FORTIFY)
SAN :=
else ifeq ($(BUILD),debug)
OPT := -O0 -g3 -DDEBUG=1
SAN :=
else ifeq ($(BUILD),asan)
OPT := -O1 -g -fno-omit-frame-pointer -DDEBUG=1
SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined
else ifeq ($(BUILD),tsan)
OPT := -O1 -g -fno-omit-frame-pointer -DDEBUG=1
SAN := -fsanitize=thread
else ifeq ($(BUILD),fuzz)
OPT := -O1 -g -fno-omit-frame-pointer -DDEBUG=1
SAN := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
else ifeq ($(BUILD),fuzzafl)
OPT := -O2 -g -DDEBUG=1
SAN :=
else ifeq ($(BUILD),fuzzplain)
OPT := -O2 -g -DDEBUG=1
SAN := -fsanitize-coverage=inline-8bit-counters,pc-table
else ifeq ($(BUILD),cover)
OPT := -O1 -g -DDEBUG=1
SAN := -fprofile-instr-generate -fcoverage-mapping
else
$(error BUILD is $(BUILD); it must be release, debug, asan, tsan, fuzz, fuzzplain, fuzzafl or cover)
endif

CFLAGS_ALL := $(CSTD) $(OPT) $(SAN) $(WARN) $(HARDEN) -fPIC -fvisibility=hidden -pthread $(INC) $(CFLAGS)
LDHARD := -Wl,-z,relro,-z,now -Wl,-z,noexecstack
# OpenSSL is static and hidden: inside the gateway a dynamic one would be bound to Node's own. libuv is
# dynamic: inside the gateway it must be Node's. The rest is dynamic because nothing there collides.
DYNLIBS := -luv -lsqlite3 -lcjson -lwslay -lyaml
LIBS := -l:libssl.a -l:libcrypto.a -Wl,--as-needed $(DYNLIBS) -Wl,--no-as-needed -pthread -ldl

# ---- sources -----------------------------------------------------------------------------------

# One archive a folder. `plugin` is plugin/*.c alone.
FOLDERS := plugin/base plugin/proto plugin/call plugin/net memory plugin/realtime plugin/carrier \
           sessions plugin/config plugin
name_of = $(subst /,-,$(1))
srcs_of = $(sort $(wildcard $(1)/*.c))
objs_of = $(patsubst %.c,$(B)/obj/%.o,$(call srcs_of,$(1)))
lib_of = $(B)/lib/lib$(call name_of,$(1)).a

USED := $(foreach f,$(FOLDERS),$(if $(call srcs_of,$(f)),$(f)))
LIB_SRCS := $(foreach f,$(USED),$(call srcs_of,$(f)))
LIB_OBJS := $(patsubst %.c,$(B)/obj/%.o,$(LIB_SRCS))
LLHTTP_DIR := /usr/share/llhttp
LLHTTP_OBJS := $(addprefix $(B)/obj/llhttp/,api.o http.o llhttp.o)
LLHTTP_LIB := $(B)/lib/libllhttp.a
GEN := $(B)/gen/manifest.h $(B)/gen/config_keys.c $(B)/gen/package.json $(B)/gen/openclaw.plugin.json
GEN_OBJ := $(B)/obj/gen/config_keys.o
NUMBERS_OBJ := $(B)/obj/gen/number_table.o
LIBS_ALL := $(foreach f,$(USED),$(call lib_of,$(f))) $(LLHTTP_LIB)

SO := $(B)/openclaw_voice.so
HOST := $(B)/openclaw-voice-host
PKG := $(B)/openclaw-voice
NODE_ADDON := $(B)/openclaw_voice_node.node
NAPI := $(TOOLS)/node-api-headers/node_modules/node-api-headers/include
TOKENS := $(B)/o200k.bin
TOKENIZER := $(TOOLS)/gpt-tokenizer/node_modules/gpt-tokenizer
NUMBERS := $(TOOLS)/numbers/node_modules

.PHONY: all so host addon package tokens
all: $(SO) $(HOST) $(TOKENS) package
so: $(SO)
host: $(HOST) $(TOKENS)
addon: $(NODE_ADDON)
package: $(B)/package.stamp
tokens: $(TOKENS)

# ---- compile -----------------------------------------------------------------------------------

# Objects of one build folder share flags; a change of flags or of this file rebuilds them.
FLAGS_FILE := $(B)/flags
ifneq ($(MAKECMDGOALS),clean)
$(shell mkdir -p $(B)/gen; echo '$(CC) $(CFLAGS_ALL)' | cmp -s - $(FLAGS_FILE) \
    || echo '$(CC) $(CFLAGS_ALL)' > $(FLAGS_FILE))
endif

Q := $(if $(V),,@)
say = @printf '  %-8s %s\n' '$(1)' '$(2)'

# A path that is cut short in a test is no fault of the product. (Only gcc looks for it.)
ifeq ($(findstring clang,$(CC)),)
$(B)/obj/tests/%.o: CFLAGS_ALL += -Wno-format-truncation
endif

# `make unit` alone is tolerant: a file that does not compile is left out of its archive, and said so,
# to stop only the tests that need it. Every other target is strict.
TOLERANT := $(if $(filter unit unit-%,$(MAKECMDGOALS)),$(if $(filter-out unit unit-%,$(MAKECMDGOALS)),,1))
give_up = $(if $(TOLERANT),|| { rm -f $@; echo "  LEFT OUT $(1)"; })

$(B)/obj/%.o: %.c $(FLAGS_FILE) | $(GEN)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@ $(call give_up,$<: it does not compile)

$(GEN_OBJ) $(NUMBERS_OBJ): $(B)/obj/gen/%.o: $(B)/gen/%.c $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

# Not our code: no warnings; hidden, because the gateway's Node exports another llhttp.
$(B)/obj/llhttp/%.o: $(LLHTTP_DIR)/%.c $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(OPT) $(SAN) $(HARDEN) -w -fPIC -fvisibility=hidden $(INC) -c $< -o $@

$(GEN) &: plugin.toml scripts/gen-manifest.py
	$(call say,GEN,$(B)/gen)
	$(Q)$(PYTHON) scripts/gen-manifest.py --gen $(B)/gen

# What is known of telephone numbers, from npm packages; constant in the .so.
NODE ?= $(or $(wildcard $(TOOLS)/bin/node),node)
$(NUMBERS)/package.stamp:
	@echo "make: $@ is missing; run: sh scripts/setup.sh" >&2; exit 1
$(B)/gen/number_table.c: scripts/gen-numbers.mjs $(NUMBERS)/package.stamp
	@mkdir -p $(@D)
	$(call say,GEN,$@)
	$(Q)$(NODE) scripts/gen-numbers.mjs $(NUMBERS) $@

# $(1): folder
define archive
$(call lib_of,$(1)): $(call objs_of,$(1)) $(if $(filter plugin/config,$(1)),$(GEN_OBJ)) $(if $(filter sessions,$(1)),$(NUMBERS_OBJ))
	@mkdir -p $$(@D); rm -f $$@
	$$(call say,AR,$$@)
	$(Q)ar rcsD $$@ $$(if $(TOLERANT),$$$$(ls $$^ 2>/dev/null),$$^)
endef
$(foreach f,$(USED),$(eval $(call archive,$(f))))

$(LLHTTP_LIB): $(LLHTTP_OBJS)
	@mkdir -p $(@D); rm -f $@
	$(call say,AR,$@)
	$(Q)ar rcsD $@ $^

# ---- the products ------------------------------------------------------------------------------

$(SO): $(LIBS_ALL) abi/exports.map $(FLAGS_FILE)
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) -shared -o $@ -Wl,--version-script=abi/exports.map \
	    -Wl,--require-defined=openclaw_plugin_entry -Wl,--no-undefined -Wl,-z,nodelete $(LDHARD) \
	    -Wl,--start-group $(LIBS_ALL) -Wl,--end-group $(LIBS)

HOST_OBJS := $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard abi/host/*.c)))
$(HOST): $(HOST_OBJS)
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) -pie -o $@ $(LDHARD) $^ -pthread -ldl

# The Node-API symbols are the gateway's: the one product with undefined symbols.
ADDON_OBJS := $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard abi/node/*.c)))
$(ADDON_OBJS): CFLAGS_ALL += -isystem $(NAPI)
$(ADDON_OBJS): | $(NAPI)/node_api.h
$(NAPI)/node_api.h:
	@echo "make: $@ is missing; run: sh scripts/setup.sh" >&2; exit 1
$(NODE_ADDON): $(ADDON_OBJS) abi/node/exports.map
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) -shared -o $@ -Wl,--version-script=abi/node/exports.map -Wl,-z,nodelete \
	    $(LDHARD) $(ADDON_OBJS) -pthread -ldl

# The token table lies beside the .so, here and in the package. Its class table is this Node's Unicode.
$(TOKENIZER)/package.json:
	@echo "make: $@ is missing; run: sh scripts/setup.sh" >&2; exit 1
$(TOKENS): scripts/gen-tokens.mjs $(TOKENIZER)/package.json
	$(call say,GEN,$@)
	$(Q)$(NODE) scripts/gen-tokens.mjs $(TOKENIZER) $@

# The folder that `openclaw plugins install` takes.
PKG_FILES := $(wildcard abi/node/*.js) skill.json SKILL.md LICENSE
$(B)/package.stamp: $(SO) $(NODE_ADDON) $(TOKENS) $(GEN) $(PKG_FILES) plugin.toml scripts/gen-manifest.py \
    scripts/stage.sh $(NUMBERS)/package.stamp
	$(call say,STAGE,$(PKG))
	$(Q)$(PYTHON) scripts/gen-manifest.py --check
	$(Q)sh scripts/stage.sh $(B) $(PKG) $(NUMBERS)
	@touch $@

# ---- unit tests --------------------------------------------------------------------------------

# A test is linked with the archives of the folders it includes from and of those below them.
UNIT_SRCS := $(sort $(wildcard tests/unit/test_*.c))
UNIT_NAMES := $(patsubst tests/unit/test_%.c,%,$(UNIT_SRCS))
UNIT_BINS := $(patsubst %,$(B)/tests/unit/test_%,$(UNIT_NAMES))
below_plugin-base :=
below_plugin-proto := plugin/base
below_plugin-call := plugin/base
below_plugin-net := plugin/base plugin/proto
below_memory := plugin/base
below_plugin-realtime := plugin/base plugin/proto plugin/call plugin/net
below_plugin-carrier := plugin/base plugin/proto plugin/call plugin/net
below_sessions := plugin/base plugin/call memory
below_plugin-config := plugin/base plugin/proto plugin/call memory sessions
below_plugin := $(filter-out plugin,$(FOLDERS))
HASH := \#
included = $(sort $(shell sed -nE 's,^$(HASH)include "((plugin|memory|sessions)(/[a-z_0-9]+)?)/[a-z_0-9]+\.h".*,\1,p' $(1)))
unit_folders = $(foreach f,$(USED),$(if $(filter $(f),$(1) $(foreach g,$(1),$(below_$(call name_of,$(g))))),$(f)))

archives_of = $(foreach f,$(call unit_folders,$(call included,$(1))),$(call lib_of,$(f)))

# $(1): test program without .c, $(2): archives
define test_program
$(B)/$(1): $(B)/obj/$(1).o $(2) $(LLHTTP_LIB)
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$(Q)$(CC) $(SAN) -o $$@ $(LDHARD) $$< -Wl,--start-group $(2) $(LLHTTP_LIB) -Wl,--end-group \
	    $(LIBS) $$(call give_up,$$@: it does not link)
endef
define unit_run
.PHONY: unit-test_$(1)
unit-test_$(1): $(B)/tests/unit/test_$(1)
	@$(B)/tests/unit/test_$(1)
endef
# These count tokens.
unit-test_tokens unit-test_context: $(TOKENS)

# Parts of the plugin behind standard input and output, for conformance tests in JavaScript.
CLI_PROGS := $(patsubst %.c,%,$(sort $(wildcard tests/conformance/*_cli.c)))
# Disks that fail, power that fails, memory that is out.
FAULT_PROGS := $(patsubst %.c,%,$(sort $(wildcard tests/faults/test_*.c)))
FAULT_BINS := $(addprefix $(B)/,$(FAULT_PROGS))
# Fuzz targets: replay_NAME runs files, in every build; fuzz_NAME is driven by libFuzzer (BUILD=fuzz).
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
REPLAY_BINS := $(patsubst %,$(B)/tests/fuzz/replay_%,$(FUZZ_NAMES))
FUZZ_BINS := $(patsubst %,$(B)/tests/fuzz/fuzz_%,$(FUZZ_NAMES))
# Fault ladders over unit tests: what the test itself calls keeps away from the calls that fail.
LADDER_BINS := $(patsubst %,$(B)/tests/faults/ladder_%,$(UNIT_NAMES))
LADDERS_SHORT := $(addprefix $(B)/tests/faults/ladder_,$(if $(filter test test-files,$(MAKECMDGOALS)),$(shell $(PYTHON) tests/faults/ladders --names)))
LADDER_OBJS := $(B)/obj/tests/faults/ladder.o $(B)/obj/tests/faults/ladder_calls.o
$(LADDER_OBJS): FORTIFY :=
$(LADDER_OBJS): SAN :=
$(LADDER_OBJS): CFLAGS_ALL += -fno-builtin -U_FORTIFY_SOURCE
$(B)/obj/tests/faults/ladder.syms: tests/faults/ladder_calls.c $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(Q)sed -nE 's/.*\bladder_(_?_?[a-z0-9_]+)\(.*/\1 ladder_\1/p; s/^(CALL|MOVE|TEST)\(([a-z_]+ [*]?|[a-zA-Z_ ]+[*], |[a-z_ ]+, )?([a-z0-9_]+),.*/\3 ladder_\3/p' $< | \
	    grep -vE '^(bad|start|fault|call_name|who_name) ' | sort -u >$@
	@echo 'main ladder_test_main' >>$@
define ladder_program
$(B)/obj/tests/faults/ladder_$(1).o: $(B)/obj/tests/unit/test_$(1).o $(B)/obj/tests/faults/ladder.syms
	$(Q)objcopy --redefine-syms=$(B)/obj/tests/faults/ladder.syms $$< $$@
$(B)/tests/faults/ladder_$(1): $(B)/obj/tests/faults/ladder_$(1).o $(LADDER_OBJS) $(2) $(LLHTTP_LIB)
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$(Q)$(CC) $(SAN) -o $$@ $(LDHARD) $$(filter %.o,$$^) -Wl,--start-group $(2) $(LLHTTP_LIB) -Wl,--end-group $(LIBS)
endef
# $(1): target, $(2): archives
define fuzz_program
$(B)/tests/fuzz/replay_$(1): $(B)/obj/tests/fuzz/fuzz_$(1).o $(B)/obj/tests/fuzz/replay.o $(2) $(LLHTTP_LIB)
$(B)/tests/fuzz/fuzz_$(1): $(B)/obj/tests/fuzz/fuzz_$(1).o $(2) $(LLHTTP_LIB)
$(B)/tests/fuzz/replay_$(1) $(B)/tests/fuzz/fuzz_$(1):
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$(Q)$(CC) $(SAN) $$(if $$(findstring /fuzz_,$$@),-fsanitize=fuzzer) -o $$@ $(LDHARD) $$(filter %.o,$$^) \
	    -Wl,--start-group $(2) $(LLHTTP_LIB) -Wl,--end-group $(LIBS)
endef
# Searches over all states of a machine: model_NAME and what else begins with its name.
MODEL_NAMES := $(patsubst tests/model/model_%.c,%,$(sort $(wildcard tests/model/model_*.c)))
MODEL_BINS := $(patsubst %,$(B)/tests/model/model_%,$(MODEL_NAMES))
# $(1): name
define model_program
$(B)/tests/model/model_$(1): $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard tests/model/$(1)_*.c) tests/model/model_$(1).c)) \
    $(B)/obj/tests/model/explore.o $(call lib_of,plugin/call) $(call lib_of,plugin/base)
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$(Q)$(CC) $(SAN) -o $$@ $(LDHARD) $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $(LIBS)
endef
$(foreach n,$(MODEL_NAMES),$(eval $(call model_program,$(n))))
ifneq ($(filter unit unit-% test test-files faults ladder-bins ladders-cover fuzz-% conformance integration $(B)/tests/%,$(MAKECMDGOALS)),)
$(foreach n,$(FUZZ_NAMES),$(eval $(call fuzz_program,$(n),$(call archives_of,tests/fuzz/fuzz_$(n).c))))
$(foreach t,$(UNIT_SRCS:.c=) $(CLI_PROGS) $(FAULT_PROGS),$(eval $(call test_program,$(t),$(call archives_of,$(t).c))))
$(foreach n,$(UNIT_NAMES),$(eval $(call unit_run,$(n))))
$(foreach n,$(UNIT_NAMES),$(eval $(call ladder_program,$(n),$(call archives_of,tests/unit/test_$(n).c))))
endif

# ---- tests -------------------------------------------------------------------------------------

CONF_BINS := $(patsubst tests/conformance/test_%.c,$(B)/tests/conformance/test_%,$(sort $(wildcard tests/conformance/test_*.c)))
CONF_SOS := $(patsubst tests/conformance/so_%.c,$(B)/tests/conformance/so_%.so,$(sort $(wildcard tests/conformance/so_*.c)))
# What measurements run beside the plugin: a small host, and servers to compare with.
BENCH_TOOLS := $(patsubst tests/bench/%.c,$(B)/tests/bench/%,$(sort $(wildcard tests/bench/load_*.c tests/bench/peer_*.c tests/bench/serve_*.c tests/bench/limit_*.c)))
RUN = $(PYTHON) tests/run --builddir $(B) --build $(BUILD) --tools $(TOOLS) $(if $(T),--only '$(T)') $(if $(AGAIN),--again)

# Conformance programs know a plugin by its ABI alone: they are not linked with its archives.
$(B)/tests/conformance/test_%: $(B)/obj/tests/conformance/test_%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) -o $@ $(LDHARD) $< -pthread -ldl
$(B)/tests/conformance/so_%.so: $(B)/obj/tests/conformance/so_%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) -shared -o $@ $< -pthread
define link_with_all
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) -o $@ $(LDHARD) $< -Wl,--start-group $(LIBS_ALL) -Wl,--end-group $(LIBS)
endef
$(B)/tests/bench/serve_%: $(B)/obj/tests/bench/serve_%.o $(LIBS_ALL)
	$(link_with_all)
$(B)/tests/bench/limit_%: $(B)/obj/tests/bench/limit_%.o $(LIBS_ALL)
	$(link_with_all)

$(B)/tests/bench/so_%.so: $(B)/obj/tests/bench/so_%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) -shared -o $@ $< -pthread

$(B)/tests/bench/load_%: $(B)/obj/tests/bench/load_%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) -o $@ $(LDHARD) $< -l:libssl.a -l:libcrypto.a -pthread -ldl
$(B)/tests/bench/peer_%: $(B)/obj/tests/bench/peer_%.o $(LLHTTP_LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) -o $@ $(LDHARD) $< $(LLHTTP_LIB) -luv -lcjson -l:libssl.a -l:libcrypto.a -pthread -ldl

.PHONY: unit model conformance integration test test-files test-long test-asan test-tsan bench faults crashes fuzz fuzz-cover fuzz-keep fuzz-mutants fuzz-bins fuzz-replays
.PHONY: ladder ladders-built ladder-bins ladders-cover coverage
unit: $(UNIT_BINS) $(TOKENS)
	@$(RUN) unit
TEST_FILES := $(CONF_BINS) $(CONF_SOS) $(addprefix $(B)/,$(CLI_PROGS))
conformance: all $(TEST_FILES)
	@$(RUN) conformance
# What the plugin's ABI is compared with from now on.
.PHONY: abi-baseline
abi-baseline: $(SO)
	@OCV_ROOT=$(CURDIR) OCV_SO=$(abspath $(SO)) OCV_BUILD=$(BUILD) sh tests/conformance/test_abi_kept.sh --renew
integration: all $(TEST_FILES)
	@$(RUN) integration
test: all $(UNIT_BINS) $(MODEL_BINS) $(FAULT_BINS) $(REPLAY_BINS) $(LADDERS_SHORT) $(TEST_FILES)
	@$(RUN) unit model faults conformance integration
# The long form of the searches: MODEL_SECONDS each; the table of states and events lies in $(B)/model.
MODEL_SECONDS ?= 600
model: $(MODEL_BINS)
	@mkdir -p $(B)/model
	$(Q)for n in $(MODEL_NAMES); do OCV_MODEL_LONG=1 MODEL_SECONDS=$(MODEL_SECONDS) OCV_MODEL_ONLY='$(T)' \
	    OCV_MODEL_TABLE=$(B)/model/$$n.md $(B)/tests/model/model_$$n || exit 1; done
.PHONY: model-mutants
model-mutants: $(MODEL_BINS)
	@CC='$(CC)' $(PYTHON) tests/model/mutants.py $(B) '$(T)'
# The long form; one that was interrupted goes on where it was (FAULT_SEED, FAULT_ROUNDS choose others). The ladders over
# the unit tests want a sanitizer: they have a build of their own.
faults: all $(FAULT_BINS) $(REPLAY_BINS) $(TEST_FILES) ladders-built
	@mkdir -p $(B)/faults
	@OCV_FAULTS_LONG=1 FAULT_STATE=$(abspath $(B))/faults OCV_LADDERS=$(abspath $(B))/ladder $(RUN) faults
# Every allocation, and every call for files, sockets and threads, of every unit test fails once; LADDER_S seconds for each program.
ladder: ladders-built
	@mkdir -p $(B)/faults
	@OCV_FAULTS_LONG=1 FAULT_STATE=$(abspath $(B))/faults $(PYTHON) tests/faults/ladders --builddir $(B)/ladder $(if $(T),--only '$(T)')
ladders-built:
	@$(MAKE) --no-print-directory BUILD=asan BUILDDIR=$(B)/ladder ladder-bins
ladder-bins: $(LADDER_BINS) $(TOKENS)
# Their error paths count for the coverage of memory/.
ladders-cover: $(addprefix $(B)/tests/faults/ladder_,charge index index_section journal journal_adopt journal_claim lines \
    lines_told outbox owner owner_find)
# A thousand deaths at moments of a mixed load, or KIND=placed of placed calls; goes on where it was interrupted
# (CRASH_SEED, CRASH_POINTS choose others, CRASH_ONE one alone).
crashes: all
	@OCV_ROOT=$(CURDIR) OCV_BUILDDIR=$(abspath $(B)) OCV_BUILD=$(BUILD) LC_ALL=C.UTF-8 \
	    KIND=$(KIND) $(NODE) tests/integration/crashes.mjs $(abspath $(B))/crashes
# Each target for FUZZ_SECONDS (T chooses); what was found new stays in $(B)/fuzz/corpus, where the next run goes on.
# With FUZZ_RUNS each until it has so many executions or no new edge for long, counted over all invocations in
# $(B)/fuzz/long; FUZZ_MINUTES ends it before, FUZZ_WORKERS targets run at once.
FUZZ_SECONDS ?= 60
FUZZ_WORKERS ?= 1
CLANG ?= clang
ifeq ($(ENGINE),afl)
# AFL++ in place of libFuzzer, where Debian has it; what it finds goes to the same corpora.
fuzz:
	@sh scripts/setup.sh --afl
	@if command -v afl-clang-fast >/dev/null; then \
	    $(MAKE) --no-print-directory CC=afl-clang-fast BUILD=fuzzafl BUILDDIR=$(B)/fuzz/afl fuzz-bins && \
	    $(PYTHON) tests/fuzz/run --builddir $(B)/fuzz --afl --seconds $(FUZZ_SECONDS) $(if $(T),--only '$(T)'); \
	else echo "SKIPPED: there is no afl-clang-fast; install the package afl++"; fi
else
fuzz:
	@sh scripts/setup.sh --fuzz
	@$(MAKE) --no-print-directory CC='$(CLANG)' BUILD=fuzz BUILDDIR=$(B)/fuzz/build fuzz-bins
ifdef FUZZ_RUNS
	@$(MAKE) --no-print-directory CC='$(CLANG)' BUILD=fuzzplain BUILDDIR=$(B)/fuzz/plain fuzz-bins
	@$(MAKE) --no-print-directory CC='$(CLANG)' BUILD=cover BUILDDIR=$(B)/fuzz/cover fuzz-replays
	@$(PYTHON) tests/fuzz/run --builddir $(B)/fuzz --runs $(FUZZ_RUNS) --workers $(FUZZ_WORKERS) \
	    $(if $(FUZZ_MINUTES),--minutes $(FUZZ_MINUTES)) $(if $(T),--only '$(T)')
else
	@$(PYTHON) tests/fuzz/run --builddir $(B)/fuzz --seconds $(FUZZ_SECONDS) $(if $(T),--only '$(T)')
endif
endif
# Which lines of what they are for the corpora reach.
fuzz-cover:
	@sh scripts/setup.sh --fuzz
	@$(MAKE) --no-print-directory CC='$(CLANG)' BUILD=cover BUILDDIR=$(B)/fuzz/cover fuzz-replays
	@$(PYTHON) tests/fuzz/run --builddir $(B)/fuzz --cover $(if $(T),--only '$(T)')
# Inputs that runs found and that reach what the tree's corpora do not.
fuzz-keep:
	@$(MAKE) --no-print-directory CC='$(CLANG)' BUILD=fuzzplain BUILDDIR=$(B)/fuzz/plain fuzz-bins
	@$(PYTHON) tests/fuzz/run --builddir $(B)/fuzz --keep $(if $(T),--only '$(T)')
# Faults planted one at a time, which the targets must notice.
fuzz-mutants:
	@sh scripts/setup.sh --fuzz
	@$(MAKE) --no-print-directory CC='$(CLANG)' BUILD=fuzz BUILDDIR=$(B)/fuzz/build fuzz-bins
	@$(PYTHON) tests/fuzz/mutants --builddir $(B)/fuzz $(if $(FUZZ_SECONDS),--seconds $(FUZZ_SECONDS)) $(if $(T),--only '$(T)')
# Lines and branches that the unit tests and the faults reach; NATIVE=1: the native host's tests, too; LINES=part-of-a-path: which not.
coverage:
	@sh scripts/setup.sh --fuzz
	@$(MAKE) --no-print-directory CC='$(CLANG)' BUILD=cover BUILDDIR=$(B)/cover test-files
	@$(MAKE) --no-print-directory CC='$(CLANG)' BUILD=cover BUILDDIR=$(B)/cover ladders-cover
	@$(PYTHON) tests/coverage --builddir $(B)/cover --tools $(TOOLS) $(if $(NATIVE),--native) $(if $(LINES),--lines '$(LINES)')
fuzz-bins: $(FUZZ_BINS)
fuzz-replays: $(REPLAY_BINS)
# With the cases that take minutes: real limits of a minute, long outages.
test-long:
	@sh scripts/setup.sh --long
	$(Q)OCV_LONG=1 $(MAKE) --no-print-directory test

test-asan:
	@$(MAKE) --no-print-directory BUILD=asan BUILDDIR=$(if $(filter-out build,$(B)),$(B)-asan,build/asan) test
test-tsan:
	@$(MAKE) --no-print-directory BUILD=tsan BUILDDIR=$(if $(filter-out build,$(B)),$(B)-tsan,build/tsan) test
# Everything the tests need, without running them.
test-files: all $(UNIT_BINS) $(MODEL_BINS) $(FAULT_BINS) $(REPLAY_BINS) $(LADDERS_SHORT) $(TEST_FILES)
bench: all $(BENCH_TOOLS)
	@sh scripts/setup.sh --bench
	@$(RUN) bench
# Two hours on one host; SOAK_CALLS, SOAK_RATE, SOAK_HOLD make it shorter. Says passed or FAILED, and exits 1.
.PHONY: soak
soak: all $(BENCH_TOOLS) $(B)/tests/bench/so_heap.so
	@OCV_BUILDDIR=$(abspath $(B)) $(TOOLS)/bin/node tests/bench/soak.mjs

# ---- lint --------------------------------------------------------------------------------------

.PHONY: lint lint-source lint-headers lint-clang
lint: lint-source lint-headers lint-clang
	@echo "lint: clean"
lint-source:
	@$(PYTHON) scripts/check-source.py
HEADERS = $(sort $(wildcard abi/*.h $(addsuffix /*.h,$(FOLDERS))))
lint-headers: $(GEN)
	@for h in $(HEADERS); do \
	    printf '#include "%s"\n#include "%s"\nextern int lint_translation_unit;\n' $$h $$h | \
	    $(CC) $(CSTD) $(WARN) $(INC) -x c -fsyntax-only - || exit 1; done
	@for h in abi/*.h; do printf '#include "%s"\n' $$h | \
	    $(CC:gcc=g++) -std=c++11 -Wall -Wextra -Wpedantic -Werror -I. -x c++ -fsyntax-only - || exit 1; done
lint-clang:
	@$(MAKE) --no-print-directory CC=clang BUILD=debug BUILDDIR=$(B)/clang lint-objs
.PHONY: lint-objs
lint-objs: $(LIB_OBJS) $(GEN_OBJ) $(NUMBERS_OBJ) $(HOST_OBJS)

.PHONY: analyze
analyze: $(GEN)
	@sh scripts/setup.sh --analyze
	@sh scripts/analyze.sh $(B)

# ---- the rest ----------------------------------------------------------------------------------

.PHONY: manifest clean help
# Rewrites the derived files at the top level from plugin.toml.
manifest:
	@$(PYTHON) scripts/gen-manifest.py --write
clean:
	rm -rf $(B)/obj $(B)/lib $(B)/gen $(B)/tests $(B)/clang $(B)/flags $(B)/package.stamp $(PKG) \
	    $(SO) $(HOST) $(NODE_ADDON) $(TOKENS)
help:
	@echo "make               the plugin, the native host and the package folder, in $(B)/"
	@echo "make so|host|addon one of them"
	@echo "make unit          unit tests; make unit-test_NAME one program of them"
	@echo "make test          unit, model and faults (short forms), conformance and integration tests; T=part-of-a-name chooses"
	@echo "                   AGAIN=1 runs a file that failed once more at the end, and says so"
	@echo "make model         searches states, events and points of death of the machines of call and line, MODEL_SECONDS=600 each;"
	@echo "                   T=scenario chooses; make model-mutants: planted faults that it must find;"
	@echo "                   the tables of states and events are $(B)/model/*.md"
	@echo "make test-long     the same with the cases that take minutes: real limits and stalls, a gateway blocked for 60 s, its"
	@echo "                   channel stopped 20 times under load, floods by slowhttptest"
	@echo "make crashes       kill -9 at 1,000 moments of a mixed load, resumable; KIND=placed: of placed calls;"
	@echo "                   CRASH_POINTS=10000 CRASH_SEED=2 other ones, CRASH_ONE=N one of them again"
	@echo "make test-asan     the same with AddressSanitizer and UBSan; test-tsan with ThreadSanitizer"
	@echo "make bench         the measurements"
	@echo "make abi-baseline  takes the built plugin's ABI for the one that is kept (abi/*.abixml)"
	@echo "make conformance   the ABI, WebSocket, HTTP/1.1, JSON, signatures, schemas: by cases of our own"
	@echo "make fuzz          each fuzz target for FUZZ_SECONDS=60; make fuzz-cover: which lines the corpora reach;"
	@echo "                   FUZZ_RUNS=10000000 [FUZZ_MINUTES=60]: until so many executions or no new edge, resumable;"
	@echo "                   fuzz-mutants: planted faults are found; fuzz-keep: what runs found goes to the tree's corpora;"
	@echo "                   ENGINE=afl: AFL++ in place of libFuzzer"
	@echo "make soak          1,000,000 calls, then 10,000 live ones for an hour: memory, descriptors, threads;"
	@echo "                   SOAK_CALLS=20000 SOAK_HOLD=60 make soak takes six minutes"
	@echo "make faults        power cuts, failing disks, memory that is out: the long form, with make ladder in it"
	@echo "make ladder        each allocation and each call for files and sockets of the unit tests fails once, with AddressSanitizer;"
	@echo "                   hours, resumable; T=part-of-a-name chooses programs, LADDER_S=60 gives each a minute"
	@echo "make coverage      lines and branches that unit tests and faults reach, by folder and file; a core below 95 % fails;"
	@echo "                   LINES=plugin/base names the lines that were not reached, NATIVE=1 runs the native host's tests, too"
	@echo "make analyze       gcc -fanalyzer, cppcheck and clang-tidy; ten minutes"
	@echo "make lint          include ranks, banned functions, headers on their own, clang"
	@echo "make manifest      writes skill.json from plugin.toml"
	@echo "make clean         what was built (not the tools)"
	@echo "BUILD=release|debug|asan|tsan  BUILDDIR=folder  V=1 shows commands"

-include $(shell [ -d $(B)/obj ] && find $(B)/obj -name '*.d')
