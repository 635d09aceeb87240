"""Mailbox with room for one: the newest frame wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Hands items from one thread to another; an item that was not taken in time gives way to the next one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> T | None:
        """Puts an item in; never waits.

        Returns:
            The item that had to give way, or None: the older one, or `item` itself if the mailbox is closed.
        """
        with self._changed:
            if self._closed:
                return item
            older, self._item = self._item, item
            self._changed.notify()
            return older

    def take(self) -> T | None:
        """Waits for an item and takes it out; None as soon as the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            item, self._item = self._item, None
            return item

    def close(self) -> T | None:
        """Ends every `take`, now and later.

        Returns:
            The item that nobody will take any more, or None.
        """
        with self._changed:
            left, self._item, self._closed = self._item, None, True
            self._changed.notify_all()
            return left
