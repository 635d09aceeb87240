# Everything runs in a virtual environment of its own (.venv), made from PyPI. No ROS is needed; where one is sourced
# (setup.bash), its rclpy, cv_bridge, tf2_ros, ... are used, and the environment adds what apt does not have.
#
#   make setup ROS_DISTRO=kilted   ROS 2 Kilted instead of Jazzy (PyPI has both, for x86_64 Linux)
#   make setup CUDA=1              torch and onnxruntime for NVIDIA GPUs
#   make setup WITH=smplx,anny     optional extras of pyproject.toml (the tests that need them are skipped without)
#   make setup PYTHON=python3.12   another interpreter (3.10 to 3.13)
#
# Each kind gets its own environment: .venv, .venv-kilted, .venv-cuda, .venv-ros (beside a sourced ROS).
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: force help setup test demo check lint colcon clean clean-all

PYTHON ?= python3
CUDA ?= 0
# ROS_VERSION is set by a sourced ROS, and by nothing else.
SOURCED := $(if $(AMENT_PREFIX_PATH),$(ROS_VERSION))
ROS_DISTRO ?= jazzy
comma := ,
GPU := $(filter-out 0,$(CUDA))

VENV ?= .venv$(if $(SOURCED),-ros)$(addprefix -,$(if $(SOURCED),,$(filter-out jazzy,$(ROS_DISTRO))))$(if $(GPU),-cuda)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check $(if $(CI),--quiet)
EXTRAS := record,train,dev,$(if $(GPU),onnx-gpu,onnx)$(addprefix $(comma),$(WITH))$(if $(SOURCED),,$(comma)$(ROS_DISTRO))

CONSTRAINTS := -c $(VENV)/constraints.txt $(if $(SOURCED),,-c constraints-$(ROS_DISTRO).txt)
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

# Generated messages belong to one environment. See setup.py.
export MULTIHMR_ROSIDL_DIR := $(VENV)/rosidl
# PyPI's ROS wheels start Python twice, with their own library path. Called from inside one such Python, make must not
# hand that environment's libraries to this one.
ifdef _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE LD_LIBRARY_PATH
endif

help:
	@echo 'make setup    the virtual environment $(VENV), with everything in it'
	@echo 'make demo     camera, node and subscriber on photographs and a clip with known truth; pictures in out/demo'
	@echo 'make test     all tests           (ARGS="-k camera" picks some)'
	@echo 'make check    style and types (make lint), and all tests'
	@echo 'make colcon   a real colcon build and test of the package, from PyPI wheels alone'
	@echo 'make clean    removes what was built; make clean-all the environments too'
	@echo 'Variables: ROS_DISTRO=jazzy|kilted CUDA=1 PYTHON=python3.x (see the top of the Makefile)'

setup: $(VENV)/.package

# 1. The environment with what the build needs. Wheels that compile nothing must match those that are installed later:
#    so no isolated build, which would fetch its own.
$(VENV)/.environment: constraints.txt $(wildcard constraints-*.txt) pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v < (3, 14) or sys.exit(f"Python 3.10 to 3.13 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.x")'
	@$(PYTHON) -c 'import ensurepip, venv' || { echo 'Python lacks venv (Debian, Ubuntu: apt install python3-venv)'; exit 1; }
	@command -v c++ > /dev/null || { echo 'A C++ compiler is needed (Debian, Ubuntu: apt install g++ python3-dev)'; exit 1; }
	$(PYTHON) -m venv $(if $(SOURCED),--system-site-packages) $(VENV)
	@# ROS's apt packages are compiled against numpy 1.26 and break with numpy 2.
	sed -e '$(if $(SOURCED),s/^numpy==.*/numpy<2/)' constraints.txt > $(VENV)/constraints.txt
	$(PIP) install --use-pep517 $(CONSTRAINTS) setuptools numpy pyyaml $(if $(SOURCED),,ros-std-msgs ros-geometry-msgs)
ifeq ($(GPU),)
	@# Without its dependencies, which PyPI has: then only one page of this index is asked for, and not even that
	@# where it cannot be reached and pip has the wheel from elsewhere (PIP_FIND_LINKS).
	$(PIP) install --no-deps --retries 1 --extra-index-url $(TORCH_INDEX) 'torch==$(TORCH)+cpu'
endif
	@touch $@

# 2. The package, editable: the Python files are the working tree's own. What is generated or copied (messages, launch
#    files, stand-ins) is installed again when it changes.
COPIED := $(wildcard ros2_multihmr/backends/amx_kernels/*) setup.py setup.cfg pyproject.toml package.xml $(shell find msg launch config pip_ros -type f -not -path '*/__pycache__/*' -not -path '*/build/*' -not -path '*.egg-info/*' 2> /dev/null)
$(VENV)/.package: $(VENV)/.environment $(VENV)/.extras $(COPIED)
	rm -rf build/lib* build/bdist* pip_ros/build
	$(PIP) install --no-build-isolation $(CONSTRAINTS) --editable '.[$(EXTRAS)]' $(if $(SOURCED),,./pip_ros)
	@# Alone: pyproject.toml says why (extra "tracking").
	$(PIP) install --no-deps $(CONSTRAINTS) trackeval
	@touch $@

# Written only when it changes.
$(VENV)/.extras: $(VENV)/.environment force
	@echo '$(EXTRAS)' | cmp -s - $@ || echo '$(EXTRAS)' > $@

test: setup
	$(BIN)/python -m pytest $(ARGS)

demo: setup
	$(BIN)/multihmr demo $(ARGS)

check: lint test

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

colcon:
	.ci/colcon build/colcon

clean:
	rm -rf build out dist log ros2_multihmr/backends/_amx*.so install *.egg-info pip_ros/build pip_ros/*.egg-info pip_ros/src/*.egg-info
	rm -rf .venv*/rosidl .venv*/rosidl_work .venv*/ament .venv*/.package
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

clean-all: clean
	rm -rf .venv .venv-*
