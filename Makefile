CARGO ?= cargo
CARGO_FLAGS ?=
PREFIX ?= /usr/local
DESTDIR ?=

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
RELEASE := $(TARGET_DIR)/release/vast-threatbus
DEBUG := $(TARGET_DIR)/debug/vast-threatbus
# With the tests, and always of the whole workspace: what else cargo builds has other features,
# and is built once more.
BUILD_TESTS = $(CARGO) build --workspace --bins --tests $(CARGO_FLAGS)
SHARE := $(DESTDIR)$(PREFIX)/share

GENERATED := man/vast-threatbus.1 config.yaml.example \
	packaging/completions/vast-threatbus.bash packaging/completions/_vast-threatbus packaging/completions/vast-threatbus.fish

.PHONY: help build demo demo-bus demo-tenzir test simulate mutate recall torture fuzz bench dev-mode man install deb image recording judge

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the release, target/release/vast-threatbus
	tests/setup --compiler
	$(CARGO) build --release $(CARGO_FLAGS)

demo: ## Show the matching at work on sample events, without any server
	demo/run

demo-bus: ## Show the bridge at work between a real Threat Bus and sample events
	demo/run-bus

demo-tenzir: ## Show the bridge at work between a real Threat Bus and a real Tenzir node
	demo/run-tenzir

test: ## Run all tests; sets up what they need first
	tests/setup
	$(BUILD_TESTS)
	CARGO=$(CARGO) tests/run $(CARGO_FLAGS)

recall: ## What is found of labelled pairs of indicator and event, by kind, way and mode
	tests/setup
	$(BUILD_TESTS)
	$(CARGO) test --workspace --test quick $(CARGO_FLAGS) -- recall:: --nocapture --test-threads=1

simulate: ## Schedules of faults, decided by SEED, for SIMULATE_SECONDS (60)
	tests/setup --compiler
	SIMULATE_SECONDS=$${SIMULATE_SECONDS:-60} $(CARGO) test --profile simulation \
		--test simulation $(CARGO_FLAGS) -- --nocapture --test-threads=1

mutate: ## Faults put into the machines by hand, each found by the simulation; MUTATIONS="words" chooses
	tests/setup --compiler
	CARGO=$(CARGO) tests/simulation/mutate $(MUTATIONS)

torture: ## Every fault in its long form, with a table; FAULTS="words --seeds N --loaded" chooses rows
	tests/setup
	$(BUILD_TESTS)
	$(CARGO) test --workspace --test torture $(CARGO_FLAGS) -- $(FAULTS)

judge: ## Compare what patterns mean with OASIS's own matcher, JUDGE_PAIRS (50000) times
	tests/setup judge matcher
	JUDGE_PAIRS=$${JUDGE_PAIRS:-50000} $(CARGO) test --workspace --test quick $(CARGO_FLAGS) -- match_judge:: pattern_judge:: several_judge::

fuzz: ## Fuzz the parsers of what comes from outside, FUZZ_SECONDS (60) each
	tests/setup --compiler
	tests/fuzz/run

bench: ## Measure everything, side by side with the original bridges
	tests/setup
	tests/setup app-2020.11.26 app-2022.5.16
	tests/setup --bench
	$(CARGO) bench $(CARGO_FLAGS)

dev-mode: ## Prepare this checkout for development
	tests/setup
	$(BUILD_TESTS)
	@echo "Ready: $(DEBUG), and the brokers that the tests run in $(TARGET_DIR)/venvs."
	@echo "Next: 'cargo test --test quick NAME::' for one file of tests, 'make test' for all,"
	@echo "'make man' after a change to an option, '.ci/run' before a commit."

man: ## Write the man page, completions, example and the table of options anew
	$(CARGO) build $(CARGO_FLAGS)
	mkdir -p man packaging/completions
	@set -e; generate() { echo "generate $$1 > $$2"; \
		$(DEBUG) --generate "$$1" > "$$2.new" || { rm -f "$$2.new"; exit 1; }; \
		mv "$$2.new" "$$2"; }; \
	generate man man/vast-threatbus.1; \
	generate complete-bash packaging/completions/vast-threatbus.bash; \
	generate complete-zsh packaging/completions/_vast-threatbus; \
	generate complete-fish packaging/completions/vast-threatbus.fish; \
	generate config-example config.yaml.example; \
	generate options-markdown docs/options; \
	sed -e '/<!-- options:begin -->/,/<!-- options:end -->/{//!d}' \
		-e '/<!-- options:begin -->/r docs/options' docs/configuration.md > docs/configuration.new; \
	mv docs/configuration.new docs/configuration.md; rm docs/options

deb: build ## Build a Debian package, target/debian/vast-threatbus_*.deb
	tests/setup --deb
	$(TARGET_DIR)/tools/bin/cargo-deb --no-build --no-strip --locked \
		$$(grep -q GLIBC_ABI_DT_RELR $(RELEASE) || echo --variant older-libc)
	@ls $(TARGET_DIR)/debian/*.deb

image: deb ## Build a container image of the package, with podman, docker or buildah
	@engine=$$(command -v podman || command -v docker || command -v buildah) || \
		{ echo "make image: no podman, docker or buildah is installed" >&2; exit 1; }; \
	context=$$(mktemp -d); trap 'rm -rf "$$context"' EXIT; set -e; \
	dpkg-deb -x $(TARGET_DIR)/debian/vast-threatbus_*.deb "$$context/package"; \
	packaging/minimal-root "$$context/content" "$$context/package"; \
	"$$engine" build --tag vast-threatbus --file packaging/Containerfile "$$context"

recording: build ## Record the demo anew, for the README
	demo/record

install: $(RELEASE) $(GENERATED) ## Install under PREFIX (/usr/local), in DESTDIR if given
	install -D -m 755 $(RELEASE) $(DESTDIR)$(PREFIX)/bin/vast-threatbus
	install -D -m 644 man/vast-threatbus.1 $(SHARE)/man/man1/vast-threatbus.1
	install -D -m 644 packaging/completions/vast-threatbus.bash $(SHARE)/bash-completion/completions/vast-threatbus
	install -D -m 644 packaging/completions/_vast-threatbus $(SHARE)/zsh/site-functions/_vast-threatbus
	install -D -m 644 packaging/completions/vast-threatbus.fish $(SHARE)/fish/vendor_completions.d/vast-threatbus.fish
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	@set -e; for unit in vast-threatbus.service vast-threatbus@.service; do \
		echo "install $$unit"; \
		sed 's|/usr/bin/|$(PREFIX)/bin/|' "packaging/$$unit" \
			> "$(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit"; \
		chmod 644 "$(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit"; \
	done
	install -D -m 644 -t $(SHARE)/doc/vast-threatbus config.yaml.example README.md SECURITY.md CHANGELOG.md
	install -D -m 644 -t $(SHARE)/doc/vast-threatbus/docs docs/*.md
	install -D -m 644 -t $(SHARE)/vast-threatbus/monitoring packaging/monitoring/*.yaml packaging/monitoring/*.json

# Built only where it is missing, so that "sudo make install" needs no cargo.
$(RELEASE):
	$(MAKE) build
