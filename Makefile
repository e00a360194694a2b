# Stillframe's commands. `make demo` and `make test` are the two that a newcomer needs.

CARGO ?= cargo
# The static helper: the explicit target keeps build scripts and proc macros dynamic.
STATIC_TARGET ?= x86_64-unknown-linux-gnu
STATIC_HELPER = target/$(STATIC_TARGET)/helper/stillframe-helper
ARGS ?=

.PHONY: demo test build lint static-helper check-static functions fuzz vm \
  bench bench-functions bench-labels bench-kill bench-plan bench-scale bench-restore bench-warm \
  check-infra inline-documents package clean-left-behind

## Two instances, four volumes, a backup, a skipped one, a prune; then every snapshot is verified.
demo: build
	@target/debug/fleet demo $(ARGS)

## Everything. Parts that need root, loop devices or a program skip with the reason;
## STILLFRAME_REQUIRE=1 makes them fail instead.
test: build
	$(CARGO) test --workspace --locked

## All programs, in the profile that tests and demo share.
build:
	@$(CARGO) build --workspace --bins --locked

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

## The helper as it ships: one static file.
static-helper:
	RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --locked --profile helper \
	  --package stillframe-helper --target $(STATIC_TARGET)

check-static: static-helper
	@infra/check-static.sh $(STATIC_HELPER)

## The functions as they ship (minutes: link-time optimisation).
functions:
	$(CARGO) build --locked --profile function --package stillframe-lambda --bins

## Everything that reads what others wrote, two targets at a time (nightly and cargo-fuzz). ARGS=SECONDS
fuzz:
	@fuzz/run $(ARGS)

## LVM, md RAID, LUKS, the root file system, systemd, real boots and restored sets, in a Debian guest (QEMU, no KVM;
## minutes).
vm: build static-helper
	target/debug/vm run --helper $(STATIC_HELPER) $(ARGS)

## The frozen window against its limit (one Invoke plus CreateSnapshots as configured) and against other ways
## to do it: by file system, number, and disk. ARGS='--dir /dev/shm' keeps the images in memory.
bench: build static-helper
	FLEET_HELPER=$(STATIC_HELPER) target/debug/fleet bench freeze $(ARGS)

## What starting a function costs, beside the same in Python (needs boto3).
bench-functions: build functions
	target/debug/fleet bench functions $(ARGS)

## Randomised runs with faults: do the labels tell the truth about the bytes?
bench-labels: build
	target/debug/fleet bench labels $(ARGS)

## Random kills, stops, faults and lost disks: does anything stay frozen, does any label lie?
bench-kill: build
	target/debug/fleet bench kill $(ARGS)

## Planning and pruning a million snapshots: processor time, memory, cost per snapshot.
bench-plan:
	$(CARGO) bench --locked -p stillframe-plan --bench million

## Ten thousand instances on a clock of their own, with AWS's token buckets: restore points, calls, time.
bench-scale: build
	target/debug/fleet bench scale $(ARGS)

## From an instance's start to its last mount, beside the services' latencies and the serial way.
bench-restore: build static-helper
	FLEET_HELPER=$(STATIC_HELPER) target/debug/fleet bench restore $(ARGS)

## Reading a restored device through once, beside fio.
bench-warm:
	$(CARGO) bench --locked --profile dev -p stillframe-helper --bench warm -- $(ARGS)

## Rights, references and documents of infra/ as AWS would read them (pip: cfn-lint aws-sam-cli).
check-infra:
	infra/lint.sh

## After a change in infra/documents, infra/install/install.sh or a policy of the template.
inline-documents:
	$(CARGO) run --locked -p deploy --bin inline-documents

## Everything that a release consists of, in dist/.
package:
	infra/package.sh

## Ends what a killed fleet left on this machine (a fleet does the same when it starts).
clean-left-behind: build
	target/debug/fleet sweep
