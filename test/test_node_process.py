"""The node as a process of its own: it starts by itself, works, takes a wrong command, and ends cleanly."""

import os
import signal
import subprocess
import sys

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from ros_graph import TOPICS, Listener
from visualization_msgs.msg import Marker


@pytest.fixture
def start():
    processes = []

    def start(*args):
        command = [sys.executable, "-m", "ros2_multihmr.ros.node", "--ros-args", *args]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def listener():
    with Listener() as listener:
        yield listener


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_deletes_the_markers_and_ends_with_success(start, listener, number):
    process = start("-p", "autostart:=true", "-p", "threads:=1")
    listener.start(*TOPICS)
    listener.settle()  # the other process knows this one a moment after this one knows it
    image = listener.send()
    assert listener.last("humans").header == image.header
    for key in ("markers", "overlay", "tf", "body_model"):
        listener.last(key)
    shown = len(listener.received["markers"])
    process.send_signal(number)
    last = listener.last("markers", shown + 1).markers
    assert [(m.action, m.header) for m in last] == [(Marker.DELETEALL, image.header)]
    assert process.wait(10) == 0


def test_a_wrong_lifecycle_command_does_not_end_the_node(start, listener):
    process = start()
    change = listener.other.create_client(ChangeState, "/multihmr/change_state")
    get = listener.other.create_client(GetState, "/multihmr/get_state")
    listener.until(lambda: change.service_is_ready() and get.service_is_ready())
    wrong = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_ACTIVATE))
    answers = []

    def answered():
        # While discovery is under way, a request or answer may get lost: ask again. rclpy never answers a wrong one.
        change.call_async(wrong)
        answers.append(get.call_async(GetState.Request()))
        listener.settle(0.5)
        return sum(answer.done() for answer in answers) >= 2

    listener.until(answered)
    labels = {answer.result().current_state.label for answer in answers if answer.done()}
    assert labels == {"unconfigured"}
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert "Transition is not registered" in process.stderr.read()


def test_an_unknown_parameter_ends_the_node_with_a_hint(start):
    process = start("-p", "autostat:=true")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "unknown parameter autostat; did you mean autostart?" in err
