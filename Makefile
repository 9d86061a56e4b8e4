# Two commands: `make demo` shows the whole job on this machine, `make test` checks everything.
# Both set the system up first. Written for GNU make 3.81 and a POSIX shell, so that the make of
# macOS will do.

CARGO      ?= cargo
PREFIX     ?= /usr/local
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# The one profile of program, tests and checks: llama.cpp is compiled once.
PROFILE    := --release --locked
AUTOTUNE   := $(TARGET_DIR)/release/autotune

DEMO_SWEEP := sweep --model synth:smollm2-135m:q4_k_m --budget 3m

# Newer headers than the system's lie here where those are too old.
HEADERS    := $(TARGET_DIR)/vulkan-headers
# The Vulkan device of the full tests: Mesa's software device, where no other is named.
VK_DEVICE  := $(or $(GGML_VK_VISIBLE_DEVICES),0)

.PHONY: help setup links build vulkan cuda demo test test-full llama-tools \
    llama-quality-tools bench parity gate gate-aa \
    reports install uninstall

help:
	@echo "make demo       set up, build, look at this machine, tune a synthetic model, leave a report"
	@echo "make test       set up, check format and lints, run every test, build the documentation"
	@echo "make build      set up and build $(AUTOTUNE)"
	@echo "make vulkan     build and add the module for GPUs with Vulkan (cuda: for those of NVIDIA)"
	@echo "make test-full  what takes long or needs a device: Vulkan, llama.cpp's own llama-server"
	@echo "make llama-tools  only build llama.cpp's own llama-server and llama-cli, for those tests"
	@echo "make llama-quality-tools  llama-perplexity, llama-quantize and llama-imatrix, for the others"
	@echo "make bench      measure the tool itself: worker, journal, header reader, model writer"
	@echo "make parity     compare autotune bench with llama.cpp's own llama-bench (about 10 minutes)"
	@echo "make gate       hold this build against its parent commit's, in turn; warns only"
	@echo "make gate-aa    show that the gate neither cries wolf nor is blind here (about an hour)"
	@echo "make reports    judge and render the example runs under reports/ anew"
	@echo "make install    build and install below PREFIX=$(PREFIX) (DESTDIR is honoured)"
	@echo "make uninstall  remove what install placed there"
	@echo "make setup      only install what the build needs from this system's packages"

setup:
	@sh scripts/setup.sh

# The build script of llama-cpp-sys-2 leaves symbolic links without a target beside the program,
# and panics with "File exists" when it runs again and finds them.
links:
	@for folder in "$(TARGET_DIR)/release" "$(TARGET_DIR)/release/deps" "$(TARGET_DIR)/release/examples"; do \
	    for link in "$$folder"/lib*.so "$$folder"/lib*.dylib; do \
	        if [ -L "$$link" ] && [ ! -e "$$link" ]; then rm -f "$$link"; fi; \
	    done; \
	done

build: setup links
	$(CARGO) build $(PROFILE) --workspace

# Finds headers first, so that every command of a rule sees the same ones.
WITH_HEADERS := headers=$$(sh scripts/vulkan-headers.sh "$(HEADERS)") && AUTOTUNE_VULKAN_HEADERS="$$headers"

# The program is built with the feature and finds the module without it too. Nothing of llama.cpp
# but the module is compiled.
vulkan: links
	@sh scripts/setup.sh --vulkan
	$(WITH_HEADERS) $(CARGO) build $(PROFILE) --workspace --features vulkan

cuda: setup links
	$(CARGO) build $(PROFILE) --workspace --features cuda

demo: build
	@echo; echo "== this machine"
	$(AUTOTUNE) detect --variants
	@echo; echo "== a sweep over a synthetic model"
	$(AUTOTUNE) $(DEMO_SWEEP)
	@echo; echo "== the report"
	@run=$$(ls -td autotune-runs/*/ 2>/dev/null | head -n 1); \
	if [ -n "$$run" ]; then echo "$${run}report.md"; echo "$${run}report.html"; \
	else echo "no run directory was written" >&2; exit 1; fi

test: setup links
	@echo "== format"
	$(CARGO) fmt --all --check
	@echo "== lints"
	$(CARGO) clippy $(PROFILE) --workspace --all-targets -- -D warnings
	@echo "== tests"
	$(CARGO) test $(PROFILE) --workspace --no-fail-fast
	@echo "== documentation"
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(PROFILE) --workspace --no-deps

# Tests that say what they skip and why. The result of the last run is kept in docs/FULL-TESTS.md.
# Those of llama.cpp's own programs want python3 with pip and venv, for the sources.
test-full: vulkan
	$(WITH_HEADERS) GGML_VK_VISIBLE_DEVICES=$(VK_DEVICE) $(CARGO) test $(PROFILE) --workspace \
	    --features vulkan --test devices -- --include-ignored --nocapture vulkan
	eval "$$(sh scripts/llama-tools.sh $(TARGET_DIR)/llama-tools)" && \
	$(CARGO) test $(PROFILE) --workspace --test verify --test export -- --nocapture
	eval "$$(sh scripts/llama-quality-tools.sh $(TARGET_DIR)/llama-tools)" && \
	$(CARGO) test $(PROFILE) --workspace --test quality_parity -- --nocapture

llama-tools: setup
	sh scripts/llama-tools.sh $(TARGET_DIR)/llama-tools

bench: setup links
	$(CARGO) bench --profile release --locked --bench journal --bench worker --bench gguf --bench synth --bench detect --bench report --bench gate

llama-quality-tools: build
	sh scripts/llama-quality-tools.sh $(TARGET_DIR)/llama-tools

# Wants python3 with pip and venv, for the sources of llama-bench.
parity: build
	eval "$$(sh benches/parity/build.sh $(TARGET_DIR)/parity)" && \
	$(CARGO) bench --profile release --locked --bench parity

# Warns and never stops: a build is stopped by `make test`.
gate: build
	CARGO="$(CARGO)" sh scripts/gate-parent.sh "$(TARGET_DIR)"

# What is measured is kept, and nothing of it is thrown away.
gate-aa: build
	CARGO="$(CARGO)" sh scripts/gate-aa.sh "$(TARGET_DIR)" "$(TARGET_DIR)/gate-aa"

# The runs that are kept as examples, judged and rendered by this version.
reports: build
	@for run in reports/*/ reports/*/*/; do \
	    if [ -e "$$run/trials.jsonl" ] || [ -e "$$run/quantization.json" ]; then $(AUTOTUNE) report "$$run" --in-place || exit 1; fi; \
	done

install: build
	CARGO="$(CARGO)" sh scripts/install.sh "$(AUTOTUNE)" "$(DESTDIR)$(PREFIX)"

uninstall:
	sh scripts/install.sh --remove "$(DESTDIR)$(PREFIX)"
