# tranqd - one makefile for everything; `make help` lists the targets.
#
# Sources stand in the order in which an event meets them. Behind the bar:
# adapters (one foreign library each) and pure files (no I/O, no clock).

PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
CC ?= gcc
V ?=
Q := $(if $(V),,@)
TRANQ_SHARED ?= $(abspath ../shared)

TIME = iso period granularity granularity_read granularity_calendar zone \
	timestamp joda joda_read joda_time

COMMON = base panic $(if $(FAULTS),fault) result log clock $(TIME) buf base64 endpoint json \
	yaml loop ring \
	delivery_mode line_file delivery_note late_policy \
	channel drain_mark log_peers log_page event hand life landlock confine heritage sealed smile_writer conf conf_reader conf_file conf_reference conf_value \
	conf_property conf_pull conf_spec conf_dimensions conf_digest conf_print conf_print_yaml \
	conf_show conf_secret trust_store key_store ctl record_batch | log_view compression checksum
SUPERVISOR = main vault supervisor prepare port source spawn privileges child restart reload \
	front feeder control worker_order dead_order drain_order status | notify title environment rate footprint pulse vitals
RECEIVER = receiver listener connection patience exchange http_request request_key route post \
	content inflate smile smile_event line_parser parse_spec delimited \
	regex_line json_lines flatten body json_scan partition_hash settings \
	offer outlet ticket settle drops answer reply receiver_check \
	receiver_keys | tls tls_suites tls_store auth secret_hash hash_budget unzstd \
	smile_value java_double double_text line_text delimited_quotes \
	regex_java jq_path json_path json_path_filter json_path_read \
	json_index json_string java_string memory
FEED = feed feed_door feed_link feed_serve kafka_request kafka_sasl feed_users \
	feed_topic kafka_answer feed_check | kafka_wire scram
WORKER = worker realm heap rings intake keys batch spool spool_read spool_log spool_keys spool_late spool_copy spool_dead spool_view spool_dir spool_file spool_check \
	spool_survey spool_pin spool_compact ways delivery push log_delivery pull_care pull_care_describe append_delivery queue_move dispatch dispatch_trial dispatch_move \
	late late_plan archive append dead drain dead_letter condemned quarantine \
	feed firehose ack replicant \
	overlord finder chooser druid committed pull_share kafka_supervisor kafka_supervisor_seed kafka_supervisor_end beam_cluster beam_store_zk beam_store_local curator_mutex \
	discovery session | archive_file lmdb_file held http_client zk zk_call zk_code zk_address | backoff \
	batch_task pile parcel ndjson narrow \
	partition place beam_data task choice share_view pull_wish kafka_spec kafka_note kafka_state kafka_retire log_floor log_floor_group log_floor_document
TRANQCTL = tranqctl tranqctl_output tranqctl_archive tranqctl_files \
	tranqctl_reindex tranqctl_rows tranqctl_spool tranqctl_dead tranqctl_drain \
	tranqctl_password
SANDBOX = $(patsubst tools/%.c,%,$(wildcard tools/sandbox*.c)) text_map digest
LOAD = $(patsubst tools/%.c,%,$(wildcard tools/load*.c)) text_map digest
UNIT = $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
FUZZERS = $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
PRELOAD = $(patsubst tests/fault/%.c,%,$(wildcard tests/fault/preload_*.c))

# ---- flags ----

STANDARD = -std=gnu11 -D_GNU_SOURCE
WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla -Wconversion -Wundef \
	-Wformat=2 -Wno-format-nonliteral
HARDENING = -fstack-protector-strong -fstack-clash-protection -fPIE \
	$(if $(SAN),,-D_FORTIFY_SOURCE=2)
ifeq ($(shell uname -m),x86_64)
HARDENING += -fcf-protection=full
endif
OPTIMIZE ?= -O2 -g
SANITIZE = $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer \
	-fno-sanitize-recover=all)
CFLAGS ?=
ALL_CFLAGS = $(STANDARD) $(WARNINGS) $(HARDENING) $(OPTIMIZE) $(SANITIZE) \
	$(if $(FAULTS),-DTRANQ_FAULTS) $(WERROR) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now,-z,noexecstack $(SANITIZE) $(LDFLAGS)

LIBS_COMMON = -ljansson -lyaml -lseccomp $(LIBS_TIME) -lz -llz4 -lzstd
LIBS_RECEIVER = -lz -lzstd -lpcre2-8 -ljq -lssl -lcrypto -lcrypt
LIBS_WORKER = -llmdb -lcurl -lzookeeper_st -lcrypto -lzstd

LIBS_TIME = -licui18n -licuuc

# Who may include what is decided here: a folder sees itself and common.
INCLUDE_common = -iquote common
INCLUDE_supervisor = -iquote common -iquote supervisor \
	-iquote supervisor/receiver -iquote supervisor/feed
INCLUDE_receiver = -iquote common -iquote supervisor/receiver \
	-iquote supervisor/feed
INCLUDE_feed = -iquote common -iquote supervisor/feed \
	-iquote supervisor/receiver
INCLUDE_worker = -iquote common -iquote worker
INCLUDE_tools = -iquote common -iquote tools -iquote supervisor/receiver \
	-iquote supervisor/feed -iquote worker
INCLUDE_tests = -iquote common -iquote supervisor -iquote supervisor/receiver \
	-iquote supervisor/feed -iquote worker -iquote tools -iquote tests/helper

# ---- what is built ----

names = $(filter-out |,$(1))
O = $(BUILD)/obj
objects = $(patsubst %,$(O)/$(1)/%.o,$(filter-out base,$(call names,$(2))))

OBJ_COMMON = $(call objects,common,$(COMMON))
OBJ_SUPERVISOR = $(call objects,supervisor,$(SUPERVISOR))
OBJ_RECEIVER = $(call objects,receiver,$(RECEIVER))
OBJ_FEED = $(call objects,feed,$(FEED))
OBJ_WORKER = $(call objects,worker,$(WORKER))
LIB_COMMON = $(O)/common.a
LIB_RECEIVER = $(O)/receiver.a
LIB_FEED = $(O)/feed.a
LIB_WORKER = $(O)/worker.a
LIB_SUPERVISOR = $(O)/supervisor.a
LIB_TOOLS = $(O)/tools.a
LIB_HELPER = $(O)/helper.a
PRELOADS = $(patsubst %,$(BUILD)/tests/%.so,$(PRELOAD))
PROGRAMS = $(addprefix $(BUILD)/bin/,tranqd tranqctl tranq-sandbox tranq-load)
TESTS = $(addprefix $(BUILD)/tests/,$(UNIT) $(FUZZERS))

.PHONY: all help deps quickstart test unit-programs fault-programs fault \
	fuzz fuzz-programs fuzz-afl check generate format asan ubsan valgrind \
	tsan bench druid druid-down test-druid test-kafka install clean
.DELETE_ON_ERROR:

all: $(PROGRAMS) ## build the four programs into build/bin

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 16

$(BUILD)/bin/tranqd: $(OBJ_SUPERVISOR) $(OBJ_RECEIVER) $(OBJ_FEED) \
		$(OBJ_WORKER) $(LIB_COMMON)
	$(call link,$(LIBS_WORKER) $(LIBS_RECEIVER) $(LIBS_COMMON))
$(BUILD)/bin/tranqctl: $(call objects,tools,$(TRANQCTL)) $(LIB_RECEIVER) \
		$(LIB_FEED) $(LIB_WORKER) $(LIB_COMMON)
	$(call link,$(LIBS_WORKER) $(LIBS_RECEIVER) $(LIBS_COMMON))
$(BUILD)/bin/tranq-sandbox: $(call objects,tools,$(SANDBOX)) $(LIB_RECEIVER) \
		$(LIB_WORKER) $(LIB_COMMON)
	$(call link,$(LIBS_WORKER) $(LIBS_RECEIVER) $(LIBS_COMMON))
$(BUILD)/bin/tranq-load: $(call objects,tools,$(LOAD)) $(LIB_RECEIVER) \
		$(LIB_COMMON)
	$(call link,$(LIBS_RECEIVER) $(LIBS_COMMON))

define link
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ -Wl,--start-group $^ -Wl,--end-group $(1)
endef

# A test's link takes out of the archives only what the test really uses.
$(BUILD)/tests/%: $(O)/tests/unit/%.o $(LIB_SUPERVISOR) $(LIB_RECEIVER) \
		$(LIB_FEED) $(LIB_WORKER) $(LIB_TOOLS) $(LIB_HELPER) $(LIB_COMMON)
	$(call link,$(LIBS_WORKER) $(LIBS_RECEIVER) $(LIBS_COMMON) \
	    -lcmocka -lm)

$(BUILD)/tests/scan_bench: $(O)/tests/bench/scan_bench.o $(LIB_RECEIVER) \
		$(LIB_COMMON)
	$(call link,$(LIBS_RECEIVER) $(LIBS_COMMON))

# A fuzz entry over its seeds, and with the fuzzer of clang or AFL++.
$(BUILD)/tests/fuzz_%: $(O)/tests/fuzz/fuzz_%.o $(O)/tests/fuzz/seeds.o \
		$(LIB_SUPERVISOR) $(LIB_RECEIVER) $(LIB_FEED) $(LIB_WORKER) \
		$(LIB_COMMON)
	$(call link,$(LIBS_WORKER) $(LIBS_RECEIVER) $(LIBS_COMMON))
$(BUILD)/bin/fuzz_%: $(O)/tests/fuzz/fuzz_%.o \
		$(LIB_SUPERVISOR) $(LIB_RECEIVER) $(LIB_FEED) $(LIB_WORKER) \
		$(LIB_COMMON)
	$(call link,$(LIBS_WORKER) $(LIBS_RECEIVER) $(LIBS_COMMON) \
	    -fsanitize=fuzzer)

# tests/druid/tranquility/run asks for it.
$(BUILD)/tests/hash_rows: $(O)/tests/druid/tranquility/hash_rows.o \
		$(LIB_RECEIVER) $(LIB_FEED) $(LIB_WORKER) $(LIB_COMMON)
	$(call link,$(LIBS_WORKER) $(LIBS_RECEIVER) $(LIBS_COMMON) -lm)

# tests/fault/test_power_cut.py asks for it.
$(BUILD)/tests/spool_cuts: $(O)/tests/fault/spool_cuts.o $(LIB_WORKER) \
		$(LIB_COMMON)
	$(call link,$(LIBS_WORKER) $(LIBS_COMMON))

# tests/helper/feed_stage.py asks for it.
$(BUILD)/tests/feed_stage: $(O)/tests/kafka/feed_stage.o $(LIB_SUPERVISOR) \
		$(LIB_RECEIVER) $(LIB_FEED) $(LIB_WORKER) $(LIB_COMMON)
	$(call link,$(LIBS_WORKER) $(LIBS_RECEIVER) $(LIBS_COMMON))

# What a fault test puts between tranqd and the C library.
$(BUILD)/tests/preload_%.so: tests/fault/preload_%.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(STANDARD) $(WARNINGS) -O1 -g -fPIC -shared $(WERROR) \
	    -iquote common -o $@ $< -ldl

$(LIB_COMMON): $(OBJ_COMMON)
$(LIB_RECEIVER): $(OBJ_RECEIVER)
$(LIB_FEED): $(OBJ_FEED)
$(LIB_WORKER): $(OBJ_WORKER)
$(LIB_SUPERVISOR): $(filter-out %/main.o,$(OBJ_SUPERVISOR))
$(LIB_TOOLS): $(call objects,tools,$(filter-out sandbox load tranqctl, \
	$(sort $(TRANQCTL) $(SANDBOX) $(LOAD))))
$(LIB_HELPER): $(patsubst %.c,$(O)/%.o,$(wildcard tests/helper/*.c))
$(O)/%.a:
	@rm -f $@
	$(Q)ar rcs $@ $^

define compile
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC   $<")
	$(Q)$(CC) $(ALL_CFLAGS) $(INCLUDE_$(1)) -MMD -MP -c $< -o $@
endef

$(O)/common/%.o: common/%.c
	$(call compile,common)
$(O)/supervisor/%.o: supervisor/%.c
	$(call compile,supervisor)
$(O)/receiver/%.o: supervisor/receiver/%.c
	$(call compile,receiver)
$(O)/feed/%.o: supervisor/feed/%.c
	$(call compile,feed)
$(O)/worker/%.o: worker/%.c
	$(call compile,worker)
$(O)/tools/%.o: tools/%.c
	$(call compile,tools)
$(O)/tests/%.o: tests/%.c
	$(call compile,tests)

-include $(shell find $(O) -name '*.d' 2>/dev/null)

# ---- set-up, trying out ----

deps: ## install the Debian packages that are missing (root or sudo)
	@tools/deps

quickstart: deps ## build, run with a sandbox, kill a worker, lose nothing
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tools/quickstart

# ---- tests ----

test: deps ## unit, golden, integration and short fault tests
	$(Q)$(MAKE) --no-print-directory all unit-programs fault-programs
	$(Q)TRANQ_SHARED=$(TRANQ_SHARED) tests/run

unit-programs: $(TESTS)

# tranqd with its fault points, in a folder beside the one that is installed;
# and what other tests run
fault-programs: $(PRELOADS) $(addprefix $(BUILD)/tests/,spool_cuts feed_stage \
		hash_rows)
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/fault FAULTS=1 \
	    OPTIMIZE="-O1 -g" $(BUILD)/fault/bin/tranqd

fault: deps ## kills and failures, in their long form; KILLS=1000: those alone
	$(Q)$(MAKE) --no-print-directory all fault-programs
	$(Q)TRANQ_SHARED=$(TRANQ_SHARED) TRANQ_LONG=1 TRANQ_KILLS=$(KILLS) \
	    TRANQ_SEED=$(SEED) tests/run --fault $(if $(KILLS),-k random_kills)

SECONDS = 60
fuzz: deps ## fuzz entries for SECONDS=60 each; FUZZ=name: that one alone
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=clang \
	    SAN=fuzzer-no-link,address,undefined OPTIMIZE="-O1 -g" fuzz-programs
	$(Q)TRANQ_SHARED=$(TRANQ_SHARED) tests/fuzz/run --build $(BUILD)/fuzz \
	    --seconds $(SECONDS) $(FUZZ)

fuzz-afl: deps ## the same by AFL++ (Debian's afl++)
	@command -v afl-clang-fast >/dev/null || { \
	    echo "fuzz-afl: install afl++" >&2; exit 1; }
	$(Q)AFL_QUIET=1 $(MAKE) --no-print-directory BUILD=$(BUILD)/afl \
	    CC=afl-clang-fast SAN=address,undefined OPTIMIZE="-O1 -g" \
	    fuzz-programs
	$(Q)TRANQ_SHARED=$(TRANQ_SHARED) tests/fuzz/run --build $(BUILD)/afl \
	    --afl --seconds $(SECONDS) $(FUZZ)

fuzz-programs: $(addprefix $(BUILD)/bin/,$(FUZZERS))

test-kafka: deps ## consumers of all sorts pull from a feed
	@tools/deps kcat python3-kafka python3-confluent-kafka maven \
	    default-jdk-headless
	$(Q)tests/kafka/java/fetch
	$(Q)$(MAKE) --no-print-directory all $(BUILD)/tests/feed_stage
	$(Q)TRANQ_SHARED=$(TRANQ_SHARED) tests/run --kafka

soak: SECONDS = 3600
soak: deps ## an hour (SECONDS=n) of load, kills, reloads: nothing lost, no growth
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/fault/soak --seconds $(SECONDS)

asan: deps ## unit and integration tests under ASan and UBSan
	$(Q)$(MAKE) --no-print-directory BUILD=build/asan \
	    SAN=address,undefined OPTIMIZE="-O1 -g" all unit-programs
	$(Q)TRANQ_SHARED=$(TRANQ_SHARED) TRANQ_BUILD=build/asan tests/run \
	    --unit --integration

ubsan: deps ## unit tests and fuzz seeds under UBSan alone, of gcc and of clang
	$(Q)for cc in gcc clang; do \
	    echo "UBSan of $$cc"; \
	    $(MAKE) --no-print-directory BUILD=build/ubsan-$$cc CC=$$cc \
		SAN=undefined OPTIMIZE="-O2 -g" all unit-programs && \
	    TRANQ_SHARED=$(TRANQ_SHARED) TRANQ_BUILD=build/ubsan-$$cc \
		tests/run --unit || exit 1; \
	done

valgrind: deps ## unit tests and a short life of the daemon under memcheck
	@tools/deps valgrind libc6-dbg
	$(Q)$(MAKE) --no-print-directory all unit-programs
	$(Q)tests/memcheck

tsan: deps ## rings and channels under TSan
	$(Q)$(MAKE) --no-print-directory BUILD=build/tsan SAN=thread \
	    OPTIMIZE="-O1 -g" CC=clang build/tsan/tests/test_ring
	$(Q)build/tsan/tests/test_ring

check: deps ## format, warnings of gcc and clang, static analysis, rules
	$(Q)tools/check

generate: all ## README's table and examples, out of the code's tables
	$(Q)tools/generate

format: ## lay all sources out by .clang-format
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h')

bench: deps ## speed of the readers; events per CPU-second, latency, memory
	$(Q)$(MAKE) --no-print-directory all $(BUILD)/tests/scan_bench
	$(Q)TRANQ_SHARED=$(TRANQ_SHARED) $(BUILD)/tests/scan_bench
	$(Q)TRANQ_SHARED=$(TRANQ_SHARED) tests/bench/run

druid: deps ## bring up a real Druid under build/druid
	$(Q)tests/druid/druid up

druid-down: ## stop it
	$(Q)tests/druid/druid down

# Tranquility has nobody to push to from Druid 31 on.
test-druid: deps ## the main job against a real Druid; DRUID=newest: pull
	$(Q)$(MAKE) --no-print-directory all
ifeq ($(filter newest 3%,$(filter-out 30.%,$(DRUID))),)
	$(Q)tests/druid/tranquility/run
	$(Q)TRANQUILITY=$(BUILD)/tranquility tests/druid/tranquility/roll_up
endif
	$(Q)TRANQ_SHARED=$(TRANQ_SHARED) tests/druid/run

# ---- installation ----

install: all ## into DESTDIR/PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/tranqd
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	install -m 644 conf/* $(DESTDIR)$(PREFIX)/share/tranqd
	tools/manual $(BUILD)/bin $(BUILD)/share
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 \
	    $(BUILD)/share/man/*.8
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man5 \
	    $(BUILD)/share/man/*.5
	install -D -m 644 -t \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
	    $(BUILD)/share/completions/*

clean: ## remove what was built (not a fetched Druid, nor a fuzz corpus)
	rm -rf $(BUILD)/bin $(BUILD)/obj $(BUILD)/tests $(BUILD)/asan \
	    $(BUILD)/fuzz/bin $(BUILD)/fuzz/obj $(BUILD)/tsan \
	    $(BUILD)/ubsan-gcc $(BUILD)/ubsan-clang $(BUILD)/fault \
	    $(BUILD)/afl $(BUILD)/quickstart $(BUILD)/check $(BUILD)/share
