# make run    execute both notebooks on the best data found and show their results
# make test   lint, notebooks under nbval, unit tests
# make lab    open the notebooks in JupyterLab
# make bench         measure speed, growth and accuracy on this machine (an hour or more), and put them into tests/benchmarks/README.md
# make bench-quick   fail if something has become much slower (five minutes)
# make soak   200 kills of trainings and of downloads, at random moments of another seed each time
# make records  renew the records of a quick run, which `make test` compares its own with (five minutes)
# make page   write the page of the newest run of each notebook, and the pictures of it that README shows
# make release  cut the solutions out of the exercises, for students, into grading/release; with SOLUTIONS=1, for one
#               who learns alone, into grading/alone, with each solution folded below its hints
# make example  write the hand-ins of three invented students into grading/submitted, to try `make grade` with
# make grade  grade what lies in grading/submitted/STUDENT/exercises: grading/grades.csv and grading/feedback
# make clean  strip the noise of a run from the committed notebooks, keeping their outputs

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
CHROMIUM ?= chromium --no-sandbox  # it opens our own files only, and root needs the option
NOTEBOOKS = notebooks/01_mnist.ipynb notebooks/02_imdb.ipynb
CHECKED = $(CURDIR)/runs/checked
EXERCISES = notebooks/01_mnist_exercises.ipynb notebooks/02_imdb_exercises.ipynb
GRADERS ?= 2
# nbgrader calls alembic by its name
NBGRADER = cd grading && PYTHONWARNINGS=ignore PATH="$(abspath $(BIN)):$$PATH" $(abspath $(BIN))/nbgrader
STRIP = $(BIN)/nbstripout --keep-output --keep-count --keep-id --drop-tagged-cells injected-parameters \
  --extra-keys 'metadata.papermill metadata.widgets metadata.language_info.version cell.metadata.papermill cell.metadata.execution'

.PHONY: teach setup run test lint lab bench bench-quick soak records page release example grade clean

setup: $(READY)

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "labkit needs Python 3.11 to 3.13, and $(PYTHON) is another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing into $(VENV) what requirements.lock names: PyTorch, Jupyter and some 150 packages more."
	@echo "On Linux that is a download of 3 GB the first time, since PyTorch's plain wheels carry CUDA;"
	@echo "notebooks/README.md has a CPU-only way with a tenth of it. The notebooks themselves download nothing."
	$(PYTHON) -m venv $(VENV)
	@command -v uv > /dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@uv="$$(command -v uv || echo $(BIN)/uv)"; \
	  "$$uv" pip install --python $(BIN)/python -r requirements.lock && \
	  "$$uv" pip install --quiet --python $(BIN)/python --no-deps -e . || { \
	    echo "uv could not; once more with pip." && $(BIN)/python -m pip install -r requirements.lock && \
	    $(BIN)/python -m pip install --no-deps -e .; }
	@touch $(READY)

run: $(READY)
	@runs="$$($(BIN)/python -c 'from labkit.machine import paths; print(paths.runs_root())')" || exit 1; \
	for notebook in 01_mnist 02_imdb; do \
	  echo "labkit run notebooks/$$notebook.ipynb $$runs/$$notebook.ipynb"; \
	  $(BIN)/labkit run notebooks/$$notebook.ipynb "$$runs/$$notebook.ipynb" || exit 1; \
	done

test: lint
	rm -rf "$(CHECKED)" && mkdir -p "$(CHECKED)"
	LABKIT_CHECKED_RUNS="$(CHECKED)" $(BIN)/pytest --nbval-lax --nbval-current-env notebooks
	LABKIT_CHECKED_RUNS="$(CHECKED)" $(BIN)/pytest -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check labkit tests notebooks/conftest.py
	$(STRIP) --verify $(NOTEBOOKS) $(EXERCISES)
	@! grep -l '<iframe' $(NOTEBOOKS) || { echo "these hold a whole page of labkit: make clean"; exit 1; }

lab: $(READY)
	$(BIN)/jupyter lab notebooks

bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	for script in speed neighbour trainers growth accuracy; do $(BIN)/python tests/benchmarks/$$script.py || exit 1; done
	$(BIN)/python tests/benchmarks/table.py --write

bench-quick: $(READY)
	$(BIN)/python tests/benchmarks/speed.py --quick
	$(BIN)/python tests/benchmarks/neighbour.py --quick

soak: $(READY)
	LABKIT_KILLS=200 LABKIT_SEED=$$$$ $(BIN)/pytest -s tests/faults -k killed_at_random_moments

records: $(READY)
	mkdir -p tests/records
	for notebook in 01_mnist 02_imdb; do for source in official sample; do \
	  rm -rf "$(CHECKED)" && LABKIT_RUNS="$(CHECKED)" $(BIN)/labkit run notebooks/$$notebook.ipynb -p preset quick -p device cpu \
	    -p data_source $$source && cp "$(CHECKED)"/$$notebook/*/result.json tests/records/$$notebook-$$source.json || exit 1; \
	done; done

page: $(READY)
	@runs="$$($(BIN)/python -c 'from labkit.machine import paths; print(paths.runs_root())')" || exit 1; \
	for shown in 01_mnist:510 02_imdb:820; do notebook="$${shown%:*}"; \
	  newest="$$(dirname "$$(ls -t "$$runs"/$$notebook/*/result.json | head -n 1)")" && \
	  $(BIN)/labkit page "$$newest" && \
	  $(CHROMIUM) --headless --hide-scrollbars --window-size=1120,$${shown#*:} --virtual-time-budget=5000 --screenshot=labkit/page/$$notebook.png \
	    "file://$$newest/page.html#lang=en&model=LSTM" && \
	  $(BIN)/python -c 'import sys; from PIL import Image; Image.open(sys.argv[1]).convert("RGB").quantize(256, method=2).save(sys.argv[1], optimize=True)' \
	    labkit/page/$$notebook.png || exit 1; \
	done
release: $(READY) teach
	mkdir -p grading/source/exercises && cp $(EXERCISES) grading/source/exercises
	@cd grading/$(if $(SOLUTIONS),alone,release) 2> /dev/null && [ -d exercises ] || exit 0; \
	  kept="exercises-$$(date +%Y%m%d-%H%M%S)"; mv exercises "$$kept" && echo "What was there is kept in $$PWD/$$kept."
	$(NBGRADER) generate_assignment exercises --force
	@echo "$(if $(SOLUTIONS),Work in grading/alone/exercises; the solutions are folded.,Hand out grading/release/exercises. Put hand-ins into grading/submitted/STUDENT/exercises.)"

example: release
	cd grading && $(abspath $(BIN))/python example.py

grade: $(READY) teach
	@ls grading/submitted/*/exercises/*.ipynb > /dev/null 2>&1 \
	  || { echo "There are no hand-ins in grading/submitted/STUDENT/exercises."; exit 1; }
	-@ls grading/submitted | xargs -P $(GRADERS) -I STUDENT sh -c '$(NBGRADER) autograde exercises "--student=STUDENT"'
	$(NBGRADER) generate_feedback exercises
	$(NBGRADER) export
	@echo "Points: grading/grades.csv. What each student was told: grading/feedback/STUDENT/exercises."

teach: $(READY)
	@$(BIN)/python -c 'import nbgrader' 2> /dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[teach]'

clean: $(READY)
	$(STRIP) $(NOTEBOOKS) $(EXERCISES)
	perl -pi -e 's/("display_name": )".*"/$$1"Python 3 (ipykernel)"/' $(NOTEBOOKS)
	perl -pi -e 's/<iframe title=.{1,2}labkit page.*?<.iframe>//' $(NOTEBOOKS)
