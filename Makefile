# Two commands do everything on a fresh machine (Linux, Python >= 3.11, make):  make bench  and  make test
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
export OMP_NUM_THREADS = 1

.PHONY: help bench test mutants fuzz kills speed growth cuda reproduce-hpgd reproduce-bchg reproduce-inverse reproduce-penalty reproduce-tax reproduce-continuous \
	study-warehouse reproduce-tolls reproduce-commons reproduce-platform reproduce-preferences reproduce-gradients reproduce-online interop check docs install clean
help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 18

install: $(INSTALLED)  ## the virtual environment, with everything in it
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("stackelberg-envs needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV); torch is the large part ..."
	$(BIN)/pip install -q --disable-pip-version-check --progress-bar on -c constraints.txt -e '.[all]'
	@touch $@

bench: $(INSTALLED)  ## run the embedded benchmark: progress, a table, and report.html
	$(BIN)/stackelberg bench --report report.html

test: $(INSTALLED)  ## all tests, README and docs included
	$(BIN)/pytest -n 2 --dist loadfile

fuzz: $(INSTALLED)  ## 20,000 random inputs of each kind, accepted or refused in words (half an hour on one core)
	$(BIN)/python -m tests.fuzz --count 20000

mutants: $(INSTALLED)  ## faults put into a copy of the source, each of which a theorem's test must notice (a quarter of an hour)
	$(BIN)/python tests/mutants.py

kills: $(INSTALLED)  ## workers and commands of a benchmark killed 30 times at random moments, and every line compared (a quarter of an hour)
	$(BIN)/python -m tests.kills

PEERS = $(VENV)/.peers
$(PEERS): $(INSTALLED)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[peers]'
	@touch $@

speed: $(PEERS)  ## ratios of running times, side by side, QuantEcon and JAX among them (minutes; wants a quiet machine)
	$(BIN)/pytest -m speed tests/benchmarks

growth: $(INSTALLED)  ## how time and memory grow with states, actions, batches, ...: a page and a figure (minutes; resumes)
	$(BIN)/python -m baselines.studies.growth --compile

cuda: $(INSTALLED)  ## with a GPU: parity of all that runs on one, and the kernel's times beside compiled and eager torch
	$(BIN)/pytest tests/test_devices.py tests/test_scans.py tests/test_triton_sweeps.py
	$(BIN)/python -m baselines.studies.gpu

reproduce-hpgd: $(INSTALLED)  ## Thoma et al. 2024: Table 1, why HPGD escapes, best known values (two hours on two cores; resumes)
	for config in hpgd-tuning hpgd-table hpgd-rates hpgd-escape hpgd-basin; do $(BIN)/stackelberg bench $$config || exit 1; done
	$(BIN)/stackelberg polish hpgd-table hpgd-escape hpgd-basin
	$(BIN)/python -m baselines.studies.bias
	$(BIN)/python -m baselines.studies.rtq
	$(BIN)/stackelberg compare hpgd-table --maps 0 --maps 1 --maps 4
	$(BIN)/stackelberg compare hpgd-rates
	$(BIN)/stackelberg compare hpgd-escape
	$(BIN)/stackelberg compare hpgd-basin
	$(BIN)/pytest -m slow tests/test_reproductions.py

BCHG = toy bchg-rooms bchg-rooms-1000 bchg-rates bchg-basin bchg-oracle bchg-sarsa
reproduce-bchg: $(INSTALLED)  ## Kudo et al. 2026 (an hour and a half on two cores; resumes)
	for config in $(BCHG) bchg-tuning outcomes; do $(BIN)/stackelberg bench $$config || exit 1; done
	for config in $(BCHG); do $(BIN)/stackelberg compare $$config || exit 1; done
	$(BIN)/python -m baselines.studies.reach outcomes
	$(BIN)/python -m baselines.studies.quality

INVERSE = heldout rivals-outcomes misspecification inverse-toy inverse-ablations inverse-limits inverse-penalty inverse-rooms
reproduce-inverse: $(INSTALLED)  ## our method from outcomes alone, and its rivals (four and a half hours on two cores; resumes)
	for config in $(INVERSE) inverse-large inverse-many; do $(BIN)/stackelberg bench $$config || exit 1; done
	for config in inverse-large inverse-many rivals-outcomes; do $(BIN)/stackelberg compare $$config || exit 1; done
	for config in $(INVERSE); do $(BIN)/python -m baselines.studies.reach $$config || exit 1; done
	$(BIN)/python -m baselines.studies.confirmation
	$(BIN)/python -m baselines.studies.regret
	$(BIN)/python -m baselines.studies.rival_tuning

PENALTY = penalty-games zero-sum sentinel
reproduce-penalty: $(INSTALLED)  ## Shen et al. 2025: penalty methods on random games and between opponents (an hour on two cores; resumes)
	for config in $(PENALTY); do $(BIN)/stackelberg bench $$config || exit 1; done
	for config in $(PENALTY); do $(BIN)/python -m baselines.studies.claims $$config || exit 1; done
	$(BIN)/python -m baselines.studies.selection
	$(BIN)/python -m baselines.studies.contracts

reproduce-tax: $(INSTALLED)  ## Thoma et al. 2024: the tax economy against its exact follower (up to an hour and a half on one core; resumes)
	for config in tax tax-best; do $(BIN)/stackelberg bench $$config || exit 1; done
	$(BIN)/python -m baselines.studies.tax tax

study-warehouse: $(INSTALLED)  ## every layout of the warehouse, and who finds the best one (six minutes on one core)
	$(BIN)/python -m baselines.studies.warehouse

reproduce-platform: $(INSTALLED)  ## sellers who learn prices under display rules (twenty minutes on one core), and who finds good rules
	$(BIN)/python -m baselines.studies.platform
	$(BIN)/stackelberg bench platform && $(BIN)/stackelberg compare platform

reproduce-tolls: $(INSTALLED)  ## tolls on the bundled networks; with NET=..._net.tntp TRIPS=..._trips.tntp [FLOW=..._flow.tntp] published numbers of a network, too
	$(BIN)/python -m baselines.studies.tolls $(NET) $(TRIPS) $(FLOW)
	$(BIN)/stackelberg bench toll-scores && $(BIN)/stackelberg compare toll-scores

reproduce-commons: $(INSTALLED)  ## a fishery against its closed forms, and who regulates it well (ten minutes on one core; resumes)
	$(BIN)/python -m baselines.studies.commons --figure compared/commons.svg
	$(BIN)/stackelberg bench commons-scores && $(BIN)/stackelberg compare commons-scores

reproduce-gradients: $(INSTALLED)  ## gradient methods after 2024 beside HPGD, BC-HG and penalties (half an hour of CPU time; resumes)
	$(BIN)/stackelberg bench rivals-gradients && $(BIN)/stackelberg compare rivals-gradients
	$(BIN)/python -m baselines.studies.spent rivals-gradients
	$(BIN)/stackelberg bench fading-entropy && $(BIN)/stackelberg compare fading-entropy
	$(BIN)/python -m baselines.studies.stationarity

reproduce-online: $(INSTALLED)  ## followers who learn at their leader's pace (some five hours of CPU time; resumes)
	for name in online online-starts online-rates online-networks; do \
		$(BIN)/stackelberg bench $$name && $(BIN)/python -m baselines.studies.online $$name || exit 1; \
	done

reproduce-preferences: $(INSTALLED)  ## learning a reward from preferences, tabular and with a simulator (an hour on two cores; resumes)
	$(BIN)/python -m baselines.studies.preferences
	$(BIN)/python -m baselines.studies.preference_control --seeds 5
	$(BIN)/python -m baselines.studies.preference_control --name preference-control-scarce --set first_pairs=24 pairs=6 --methods pbrl iterated

reproduce-continuous: $(INSTALLED)  ## Kudo et al. 2026 in linear-quadratic worlds, budgets stated (an hour on two cores; resumes)
	for config in thermal thermal-full lq-gain; do $(BIN)/stackelberg bench $$config && $(BIN)/stackelberg compare $$config || exit 1; done
	$(BIN)/python -m baselines.studies.noise
	$(BIN)/python -m baselines.studies.noise thermal-full thermal-ablation

interop:  ## twelve other libraries, each in a throw-away environment: a training step, and the table of docs/how-to/other-libraries
	$(PYTHON) -m tests.interop

check: $(INSTALLED)  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(INSTALLED)  ## the documentation, into docs/_build
	$(BIN)/sphinx-build -E -W -q -b html docs docs/_build
	@echo "docs/_build/index.html"

clean:  ## what was built; results stay
	rm -rf docs/_build docs/reference/games docs/reference/solvers dist .pytest_cache .ruff_cache .hypothesis
