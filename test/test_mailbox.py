"""The newest item wins, nothing gets lost without being handed back, and closing ends the wait."""

import threading

from ros2_multihmr.ros.mailbox import Mailbox


def test_the_newest_item_wins_and_the_older_one_is_handed_back():
    mailbox = Mailbox()
    assert mailbox.put(1) is None
    assert mailbox.put(2) == 1
    assert mailbox.put(3) == 2
    assert mailbox.take() == 3


def test_take_waits_for_an_item():
    mailbox, taken = Mailbox(), []
    thread = threading.Thread(target=lambda: taken.append(mailbox.take()))
    thread.start()
    mailbox.put("frame")
    thread.join(10)
    assert taken == ["frame"]


def test_close_ends_a_take_that_waits():
    mailbox, taken = Mailbox(), []
    thread = threading.Thread(target=lambda: taken.append(mailbox.take()))
    thread.start()
    assert mailbox.close() is None
    thread.join(10)
    assert taken == [None]


def test_a_closed_mailbox_hands_everything_back():
    mailbox = Mailbox()
    mailbox.put(1)
    assert mailbox.close() == 1
    assert mailbox.put(2) == 2
    assert mailbox.take() is None


def test_every_item_is_taken_or_handed_back():
    mailbox, taken, replaced = Mailbox(), [], []

    def consume():
        while (item := mailbox.take()) is not None:
            taken.append(item)

    thread = threading.Thread(target=consume)
    thread.start()
    for item in range(1, 2001):
        older = mailbox.put(item)
        if older is not None:
            replaced.append(older)
    while taken[-1:] != [2000]:
        threading.Event().wait(0.001)
    mailbox.close()
    thread.join(10)
    assert sorted(taken + replaced) == list(range(1, 2001))
    assert taken == sorted(taken)
