"""The node as a program: its arguments, its environment, and signals.

Imports wait: OpenMP reads its variables when torch loads it, and who has no ROS shall read so in one sentence.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from ros2_multihmr.ros.environment import set_defaults, share_file

_PROGRAM = "multihmr_node"
_WRONG_USE = 2
_USAGE = """\
usage: multihmr_node [--ros-args [-p NAME:=VALUE] [--params-file FILE] [-r FROM:=TO] [-r __ns:=/NAMESPACE]]

Lifecycle node: subscribes to image and camera_info, publishes the people in the image.
With -p autostart:=true it starts by itself, otherwise it waits for lifecycle commands.

Every parameter, with its unit and default: {parameters}
"""


def main(args: list[str] | None = None) -> int:
    """Runs the node until SIGINT or SIGTERM; returns the process's exit status: 0, 1 failed, 2 wrong use.

    Args:
        args: The program's name and its arguments; None for the process's own.
    """
    args = sys.argv if args is None else args
    if {"-h", "--help"} & set(args[1:]):
        sys.stdout.write(_USAGE.format(parameters=share_file("config/multihmr.yaml")))
        return 0
    set_defaults(os.environ)
    stop = stop_on_signals()
    try:
        from ros2_multihmr.ros.serve import serve
        from ros2_multihmr.ros.start import init

        init(args)
    except ImportError as error:
        return wrong_use(
            _PROGRAM,
            f"{error}; source ROS 2 and the workspace (. /opt/ros/<distribution>/setup.bash), or install this package "
            "and its ROS packages with pip; `multihmr info` says what is missing",
        )
    except ValueError as error:
        return wrong_use(_PROGRAM, str(error))
    return serve(stop)


def stop_on_signals() -> threading.Event:
    """Returns an event that SIGINT and SIGTERM set; a second signal ends the process at once."""
    stop = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    return stop


def wrong_use(program: str, problem: str) -> int:
    """Tells a program's user what was wrong with the call; returns the exit status for that."""
    sys.stderr.write(f"{program}: {problem}\n")
    return _WRONG_USE


if __name__ == "__main__":
    sys.exit(main())
