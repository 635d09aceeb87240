"""The one thread that runs the network: takes the newest image, never an older one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ros2_multihmr.ros.mailbox import Mailbox

T = TypeVar("T")


class Worker(Generic[T]):
    """Calls `process` for the newest item, in a thread of its own, until it is stopped.

    Args:
        process: Called with one item at a time; must not raise.
        on_replaced: Called with an item that a newer one replaced before it was its turn.
        on_left: Called with the item that waited when the worker was stopped.
    """

    def __init__(
        self, process: Callable[[T], None], on_replaced: Callable[[T], None], on_left: Callable[[T], None]
    ) -> None:
        self._mailbox: Mailbox[T] = Mailbox()
        self._process, self._on_replaced, self._on_left = process, on_replaced, on_left
        self._thread = threading.Thread(target=self._run, name="multihmr_worker", daemon=True)
        self._thread.start()

    def submit(self, item: T) -> None:
        """Hands an item over; never waits."""
        replaced = self._mailbox.put(item)
        if replaced is not None:
            self._on_replaced(replaced)

    def stop(self) -> None:
        """Waits until the item in work is done, and ends the thread."""
        left = self._mailbox.close()
        if left is not None:
            self._on_left(left)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._mailbox.take()) is not None:
            self._process(item)
