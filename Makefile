# make demo: train on drawn frames and score the result; make test: the test suite.
# Both make .venv and install what they need first; make install does only that.
PYTHON ?= python3
BIN := .venv/bin
QUIET_PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: install demo test test-all train-best lint parity backends web clean

install: .venv/installed

demo: .venv/installed
	$(BIN)/python train.py --demo --overwrite
	$(BIN)/python Test.py --model_path runs/demo/best.h5 --data_path data/demo

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not gpu"

# The slow tests too: processes killed and resumed, two workers, whole trainings.
test-all: .venv/installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not gpu"

# The shipped weights, from arrays prepared with --split pranet --image_size 352
# (docs/training.md): two runs and the mean of their weights, two teachers of half of the
# images each, which are trained in two steps, two students, and the mean of their
# weights and of those that they began with. The encoder began with
# ENCODER_WEIGHTS=mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_160_no_top.h5 of
# Keras; imagenet downloads the 224 release. When interrupted: train.py --resume
# --name NAME, then what is left of these commands.
ENCODER_WEIGHTS ?= imagenet
DATASETS := --data_path data/Kvasir-SEG data/CVC-ClinicDB
ON_ALL_IMAGES := --train_on_validation $(DATASETS)
THRESHOLD := --threshold_from weights/held_back_run
TEACHER := --recipe best --stages 128=30,160=40,192=30:22 192=40,256=60:10 --ema 0.998 \
	--bn_recalibrate 128 --encoder_weights $(ENCODER_WEIGHTS) $(DATASETS)
LONGER := --recipe finetune --stages 192=15,256=60,320=25:10 $(DATASETS)
STUDENT := --recipe finetune --initial_weights runs/best_mean/best.h5 \
	--teacher runs/teachers.npz --stages 192=20,256=80:6 $(THRESHOLD) $(ON_ALL_IMAGES)
train-best: .venv/installed
	$(BIN)/python train.py --name best_first --recipe best \
		--encoder_weights $(ENCODER_WEIGHTS) $(ON_ALL_IMAGES)
	$(BIN)/python train.py --name best_second --recipe finetune --seed 43 \
		--initial_weights runs/best_first/best.h5 $(THRESHOLD) $(ON_ALL_IMAGES)
	$(BIN)/python -m tools.average_checkpoints runs/best_first runs/best_second \
		--out_dir runs/best_mean
	$(BIN)/python train.py --name teacher_1 --fold 1/2 --seed 51 $(TEACHER)
	$(BIN)/python train.py --name teacher_2 --fold 2/2 --seed 52 $(TEACHER)
	$(BIN)/python train.py --name teacher_longer_1 --fold 1/2 --seed 53 \
		--initial_weights runs/teacher_1/best.h5 $(LONGER)
	$(BIN)/python train.py --name teacher_longer_2 --fold 2/2 --seed 54 \
		--initial_weights runs/teacher_2/best.h5 $(LONGER)
	$(BIN)/python -m tools.teach runs/teacher_1 runs/teacher_longer_1 \
		runs/teacher_2 runs/teacher_longer_2 --masks_of CVC-ClinicDB \
		--out runs/teachers.npz
	$(BIN)/python train.py --name student_1 --seed 48 $(STUDENT)
	$(BIN)/python train.py --name student_2 --seed 49 $(STUDENT)
	$(BIN)/python -m tools.average_checkpoints runs/best_mean runs/student_1 \
		runs/student_2 --out_dir runs/best

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# PVTv2 and PVTSeg against PyTorch, b0 to b5, in an environment of its own.
parity: .venv-parity/installed
	.venv-parity/bin/python -m tools.check_parity
	.venv-parity/bin/python -m pytest tests/tools/test_convert_pth.py

# The networks and losses on JAX and PyTorch against TensorFlow, each backend in an
# environment of its own, the two new ones without TensorFlow.
CHECK := -m tools.check_backends
backends: .venv/installed .venv-jax/installed .venv-torch/installed
	KERAS_BACKEND=tensorflow $(BIN)/python $(CHECK) --write .venv/backends
	KERAS_BACKEND=jax .venv-jax/bin/python $(CHECK) --compare .venv/backends
	KERAS_BACKEND=torch .venv-torch/bin/python $(CHECK) --compare .venv/backends

# The page that segments in the browser: web/dist, at http://localhost:8000.
web: .venv/installed-export web/node_modules/installed
	$(BIN)/python -m web.build
	$(BIN)/python -m web.serve

.venv/installed: requirements.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(QUIET_PIP) -r requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(QUIET_PIP) -r requirements-dev.txt
	touch $@

.venv/installed-export: .venv/installed requirements-export.txt
	$(QUIET_PIP) -r requirements-export.txt
	touch $@

web/node_modules/installed: web/package-lock.json
	npm ci --prefix web
	touch $@

.venv-parity/installed: requirements.txt requirements-convert.txt requirements-dev.txt
	test -d .venv-parity || $(PYTHON) -m venv .venv-parity
	.venv-parity/bin/pip install --quiet --disable-pip-version-check \
		-r requirements.txt -r requirements-convert.txt -r requirements-dev.txt
	touch $@

.venv-jax/installed .venv-torch/installed: .venv-%/installed: requirements-%.txt requirements.txt
	test -d .venv-$* || $(PYTHON) -m venv .venv-$*
	.venv-$*/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

clean:
	rm -rf .venv .venv-parity .venv-jax .venv-torch .pytest_cache .ruff_cache \
		web/node_modules web/dist
