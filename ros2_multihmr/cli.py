"""The command line: one verb per job."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import NamedTuple, TextIO

from ros2_multihmr import __version__
from ros2_multihmr.openmp import wait_briefly

PROGRAM = "multihmr"
_TRACEBACK_VARIABLE = "MULTIHMR_TRACEBACK"
_USER_ERROR, _INTERRUPTED = 2, 130


class Verb(NamedTuple):
    """One job: a module with a dataclass `Options` and a function `main(options) -> int`; imported when asked for.

    The module may have `ELSEWHERE`: settings that are no options of the verb, and how each is given.
    """

    module: str
    summary: str
    positional: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


VERBS = {
    "run": Verb("ros2_multihmr.ros.run", "camera and node in one go, with a live table of rates"),
    "predict": Verb(
        "ros2_multihmr.verbs.predict", "people in pictures and videos into files, without ROS", ("images",)
    ),
    "info": Verb(
        "ros2_multihmr.verbs.info",
        "what is installed, or what a weights file holds; with remedies",
        optional=("weights",),
    ),
    "convert": Verb("ros2_multihmr.verbs.convert", "weights, official ones too, to safetensors", ("weights",)),
    "export": Verb("ros2_multihmr.verbs.export", "weights to ONNX, checked against PyTorch", ("weights",)),
    "synthesize": Verb(
        "ros2_multihmr.verbs.synthesize", "synthetic people with exact truth, to train and to evaluate on"
    ),
    "synthesize clip": Verb("ros2_multihmr.synthesis.make_clip", "a clip of synthetic people who walk and stand"),
    "train": Verb("ros2_multihmr.verbs.train", "a recipe and a folder of samples to weights"),
    "evaluate": Verb(
        "ros2_multihmr.verbs.evaluate", "a network's errors on images with truth, beside trivial predictors"
    ),
    "evaluate calibrate": Verb("ros2_multihmr.verbs.calibrate", "moves scores, so that .3 is the best threshold"),
    "evaluate calibrate-covariance": Verb(
        "ros2_multihmr.verbs.calibrate_covariance", "measures how sure the places are, and writes it beside the weights"
    ),
    "evaluate refiner": Verb(
        "ros2_multihmr.verbs.evaluate_refiner",
        "what a second look gains: against one crop, by crops, by what is left out",
    ),
    "evaluate freeze": Verb("ros2_multihmr.evaluation.freeze", "the held-out benchmark's specification, made once"),
    "demo": Verb("ros2_multihmr.ros.demo", "photographs and a clip with known truth through the whole graph"),
    "benchmark": Verb("ros2_multihmr.verbs.benchmark", "the network's time per stage, by setting and number of people"),
    "benchmark padding": Verb(
        "ros2_multihmr.verbs.padding_benchmark", "what leaving the padding out saves and changes"
    ),
    "benchmark startup": Verb("ros2_multihmr.verbs.startup", "time and memory until the first image is done"),
    "benchmark proximity": Verb(
        "ros2_multihmr.verbs.proximity_benchmark",
        "distances of a robot's links to people, and capsules: time and truth",
    ),
    "benchmark refiner": Verb(
        "ros2_multihmr.verbs.refiner_benchmark", "time of a second look at ten people, from pixels or from features"
    ),
    "benchmark node": Verb(
        "ros2_multihmr.ros.node_benchmark", "what the node adds to the network's time, or the whole chain, per stage"
    ),
    "benchmark messages": Verb("ros2_multihmr.ros.message_benchmark", "big messages beside plain message objects"),
    "benchmark soak": Verb("ros2_multihmr.ros.soak", "a long run at camera rate: does memory or latency grow"),
    "benchmark transport": Verb("ros2_multihmr.ros.transport_benchmark", "how many images arrive in another process"),
}
# ROS programs, which read their own arguments (--ros-args ...).
NODES = {
    "node": Verb("ros2_multihmr.ros.node", "the lifecycle node alone; takes --ros-args"),
    "camera": Verb("ros2_multihmr.ros.camera_node", "the camera node alone; takes --ros-args"),
}


def main(args: list[str] | None = None) -> int:
    """Runs one verb; returns the exit code: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    args = sys.argv[1:] if args is None else args
    if not args or args[0] in ("-h", "--help"):
        _say(_help())
        return 0
    if args[0] == "--version":
        _say(f"{PROGRAM} {__version__}")
        return 0
    words = 2 if " ".join(args[:2]) in VERBS else 1
    name, rest = " ".join(args[:words]), args[words:]
    try:
        return _run(name, rest)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (ValueError, OSError, ImportError) as error:
        if _TRACEBACK_VARIABLE in os.environ:
            raise
        _say(f"{PROGRAM} {name}: {_explain(error)}", sys.stderr)
        return _USER_ERROR


def _run(name: str, args: list[str]) -> int:
    if name not in VERBS and name not in NODES:
        raise ValueError(f"no such verb; expected one of {', '.join([*VERBS, *NODES])}")
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    wait_briefly(os.environ)
    verb = (VERBS | NODES)[name]
    module = importlib.import_module(verb.module)
    if name in NODES:
        return int(module.main([PROGRAM, *args]))
    from ros2_multihmr.flags import parse_flags

    beside = [other for other in VERBS if other.startswith(f"{name} ")]
    if beside and args and not args[0].startswith("-"):
        raise ValueError(f"{args[0]!r} is neither an option nor one of {', '.join(beside)}")
    options = parse_flags(
        module.Options, args, program=f"{PROGRAM} {name}", positional=verb.positional, optional=verb.optional,
        beside=f"Beside it: {', '.join(beside)}." if beside else "", elsewhere=getattr(module, "ELSEWHERE", None),
    )  # fmt: skip
    return int(module.main(options))


def _explain(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = (error.name or "").partition(".")[0]
        return f"the Python package {package} is not installed; `{PROGRAM} info` says what is missing and what to do"
    return str(error)


def _help() -> str:
    width = max(map(len, [*VERBS, *NODES])) + 2
    lines = [f"usage: {PROGRAM} VERB [-h] ... | --version", "", "Whole-body people from one camera, for ROS 2.", ""]
    for verbs in (VERBS, NODES):
        lines += [f"  {name:<{width}}{verb.summary}" for name, verb in verbs.items()] + [""]
    return "\n".join(
        [
            *lines,
            f"`{PROGRAM} VERB --help` lists a verb's options; {_TRACEBACK_VARIABLE}=1 shows where an error came from.",
        ]
    )


def _say(text: str, stream: TextIO | None = None) -> None:
    (stream or sys.stdout).write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
