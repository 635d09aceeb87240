"""The node as a process of its own: it starts by itself, works, takes a wrong command, and ends cleanly."""

import os
import signal
import subprocess
import sys

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
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


@pytest.fixture
def command(listener):
    """Gives a lifecycle command to the process and returns whether it did it."""

    def command(transition):
        client = listener.other.create_client(ChangeState, "/multihmr/change_state")
        listener.until(client.service_is_ready)
        listener.settle()  # the other process knows this one a moment after this one knows it
        answer = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        listener.until(answer.done)
        return answer.result().success

    return command


def test_a_lifecycle_command_that_does_not_fit_is_refused_and_the_node_lives_on(start, command):
    process = start("-p", "threads:=1")
    assert command(Transition.TRANSITION_ACTIVATE) is False
    assert command(Transition.TRANSITION_DEACTIVATE) is False
    assert command(Transition.TRANSITION_CONFIGURE) is True
    assert command(Transition.TRANSITION_CONFIGURE) is False
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    err = process.stderr.read()
    assert "transition 3 is not possible while unconfigured" in err
    assert "transition 1 is not possible while inactive" in err and err.count("refused") == 3


def test_after_a_lifecycle_shutdown_a_signal_ends_the_process_with_success(start, command):
    process = start()
    assert command(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN) is True
    assert command(Transition.TRANSITION_CONFIGURE) is False
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    err = process.stderr.read()
    assert "not possible while finalized" in err and "Traceback" not in err


def test_an_unknown_parameter_ends_the_node_with_a_hint(start):
    process = start("-p", "autostat:=true")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "unknown parameter autostat; did you mean autostart?" in err
