"""Runs a command that ends when the process that started it ends, however that ends; Linux only.

Usage: python child.py PARENT_PID COMMAND [ARGUMENT ...]. Started by path and imports nothing of the package: it is gone
a few milliseconds later, replaced by the command.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Asks the kernel for SIGTERM at the parent's death, hears SIGINT, and becomes the command; all survive `exec`."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it, and would hand that on
    if os.getppid() != parent:  # it died before the kernel was asked
        sys.exit(f"the process {parent} that wanted {command[0]} is gone")
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
