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
    process = start("-p", "autostart:=true", "-p", "threads:=1", "-p", "weights:=untrained")
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


def run(*args, program="import sys; from ros2_multihmr.ros.node import main; sys.exit(main())", **environ):
    """Runs the node's program where it shall end by itself."""
    command = [sys.executable, "-c", program, *args]
    return subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_says_what_the_node_does_and_ends(option):
    done = run(option)
    assert done.returncode == 0 and done.stderr == ""
    assert "usage: multihmr_node [--ros-args" in done.stdout and "config/multihmr.yaml" in done.stdout


def test_without_ros_one_sentence_says_what_to_do():
    done = run(
        program="import sys; sys.modules['rclpy'] = None; from ros2_multihmr.ros.node import main; sys.exit(main())"
    )
    assert done.returncode == 2 and "rclpy" in done.stderr and "source ROS 2" in done.stderr
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("content", [None, "a: [", "no_node: 3"])
def test_an_unreadable_parameter_file_is_named_without_a_traceback(tmp_path, content):
    path = tmp_path / "own.yaml"
    if content is not None:
        path.write_text(content)
    done = run("--ros-args", "--params-file", str(path))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "multihmr_node: ROS did not start" in done.stderr and str(path) in done.stderr


def test_a_failed_autostart_says_that_the_node_waits(start):
    process = start("-p", "autostart:=true", "-p", "weights:=/nowhere.safetensors")
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "waits for lifecycle commands" in line:
            break
    assert "set the parameter right, then configure" in lines[-1]
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
