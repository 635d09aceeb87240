"""Processes: environment, arguments, and an end for every one of them."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import yaml

from ros2_multihmr.ros import child
from ros2_multihmr.ros.domain import _take as take_domain
from ros2_multihmr.ros.environment import PROFILE_VARIABLES, share_file
from ros2_multihmr.ros.processes import (
    DISCOVERY_VARIABLE,
    Process,
    ProcessGroup,
    local_environment,
    random_domain,
    ros_arguments,
)

DEADLINE_S = 30.0
CHILD_PROGRAM = Path(child.__file__)
TELL = "import json, os; print(json.dumps(dict(os.environ)), flush=True)"
STUBBORN = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
POLITE = "import time\ntry:\n  print('up', flush=True); time.sleep(60)\nexcept KeyboardInterrupt:\n  print('bye')"


def _python(code, environment, lines):
    return Process("child", [sys.executable, "-c", code], environment, lambda name, line: lines.append(line))


def test_shipped_profile_is_in_force_in_started_processes():
    lines = []
    process = _python(TELL, local_environment({"PATH": "/usr/bin"}), lines)
    assert process.wait(DEADLINE_S) == 0
    environment = json.loads(lines[-1])
    for variable in PROFILE_VARIABLES:
        assert environment[variable] == str(share_file("config/fastdds_large_images.xml"))
        assert "SHM" in Path(environment[variable]).read_text()
    assert environment[DISCOVERY_VARIABLE] == "LOCALHOST"


def test_the_user_s_own_choices_stay():
    environment = {PROFILE_VARIABLES[0]: "/mine.xml", DISCOVERY_VARIABLE: "SUBNET"}
    result = local_environment(environment)
    assert result[PROFILE_VARIABLES[0]] == "/mine.xml" and result[DISCOVERY_VARIABLE] == "SUBNET"
    assert PROFILE_VARIABLES[1] not in result


def test_random_domains_are_free_and_stay_below_the_ephemeral_ports():
    domains = [int(random_domain()["ROS_DOMAIN_ID"]) for _ in range(10)]
    assert len(set(domains)) == 10 and set(domains) <= set(range(1, 102))
    code = f"from ros2_multihmr.ros import domain; print([d for d in {domains} if domain._take(d)])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_domain_of_another_program_is_left_alone():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        domain = next(domain for domain in range(1, 102) if _bound(other, 7400 + 250 * domain + 10))
        assert not take_domain(domain)


def _bound(probe, port):
    try:
        probe.bind(("", port))
    except OSError:
        return False
    return True


def test_parameters_keep_their_types_through_ros_arguments():
    values = {"source": "0", "name": "a b: c", "loop": False, "rate_hz": 10.0, "count": 3, "empty": ""}
    arguments = ros_arguments(values, {"image": "/camera/image_raw"})
    given = [argument.partition(":=") for argument in arguments if ":=" in argument]
    parsed = {name: yaml.safe_load(value) for name, _, value in given if name in values}
    assert parsed == values and [type(v) for v in parsed.values()] == [type(v) for v in values.values()]
    assert arguments[0] == "--ros-args" and arguments[-2:] == ["-r", "image:=/camera/image_raw"]


def test_lines_are_waited_for():
    lines = []
    with ProcessGroup(lambda name, line: None, {}) as group:
        process = _python("import time; print('one'); print('ready now', flush=True); time.sleep(1)", {}, lines)
        group.processes.append(process)
        assert group.wait_for_line(process, "ready", DEADLINE_S, threading.Event())
        assert not group.wait_for_line(process, "never", DEADLINE_S, threading.Event())  # because it ends
        assert process.wait(DEADLINE_S) == 0 and lines == ["one", "ready now"]
        assert process.fate() == "the child ended with exit code 0"


def test_node_that_cannot_go_on_counts_as_ended():
    code = "import time; print('[ERROR] [multihmr]: cannot configure: no weights', flush=True); time.sleep(60)"
    with ProcessGroup(lambda name, line: None, {}) as group:
        process = _python(code, {}, [])
        group.processes.append(process)
        assert not group.wait_for_line(process, "never", DEADLINE_S, threading.Event())
        assert group.ended() == [process] and process.exit_code() is None
        assert process.fate() == "the child gave up: [ERROR] [multihmr]: cannot configure: no weights"


def test_group_ends_polite_processes_with_an_interrupt_and_kills_stubborn_ones():
    lines = []
    with ProcessGroup(lambda name, line: lines.append((name, line)), {}, grace_s=5.0) as group:
        polite, stubborn = (Process(name, [sys.executable, "-c", code], {}, lambda n, t: lines.append((n, t)))
                            for name, code in (("polite", POLITE), ("stubborn", STUBBORN)))  # fmt: skip
        group.processes += [polite, stubborn]
        for process in (polite, stubborn):
            assert group.wait_for_line(process, "up", DEADLINE_S, threading.Event())
        codes = group.stop()
    assert codes == {"polite": 0, "stubborn": -signal.SIGKILL}
    assert ("polite", "bye") in lines and any(name == "stubborn" and "killed" in line for name, line in lines)


def test_children_hear_an_interrupt_that_their_parent_ignores():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background job
    try:
        process = _python(POLITE, {}, [])
        with ProcessGroup(lambda name, line: None, {}) as group:
            group.processes.append(process)
            assert group.wait_for_line(process, "up", DEADLINE_S, threading.Event())
            assert group.stop() == {"child": 0}
    finally:
        signal.signal(signal.SIGINT, before)


def test_group_stops_everyone_when_its_block_is_left():
    with ProcessGroup(lambda name, line: None, {}) as group:
        process = group.start("sleeper", "timeit", ["-n", "1", "-r", "1", "import time; time.sleep(60)"])
        time.sleep(0.2)
        assert process.exit_code() is None and not group.ended()
    assert process.exit_code() is not None and group.ended() == [process]


IMPORTS = "print('importing', flush=True); import time; time.sleep(60)"
TELLS_ITSELF = "import sys; print(__name__, sys.argv[1:], sys.modules['__main__'].__spec__.name, flush=True)"


def test_an_interrupt_while_a_module_imports_is_silent(tmp_path):
    (tmp_path / "slow_to_import.py").write_text(IMPORTS)
    (tmp_path / "wants_slow.py").write_text("import slow_to_import")
    lines = []
    with ProcessGroup(lambda name, line: lines.append(line), {"PYTHONPATH": str(tmp_path)}) as group:
        process = group.start("child", "wants_slow", [])
        assert group.wait_for_line(process, "importing", DEADLINE_S, threading.Event())
        assert group.stop() == {"child": -signal.SIGINT}
    assert lines == ["importing"]


def test_modules_run_as_with_m(tmp_path):
    (tmp_path / "tells_itself.py").write_text(TELLS_ITSELF)
    lines = []
    with ProcessGroup(lambda name, line: lines.append(line), {"PYTHONPATH": str(tmp_path)}) as group:
        assert group.start("child", "tells_itself", ["-p", "a b"]).wait(DEADLINE_S) == 0
    assert lines == ["__main__ ['-p', 'a b'] tells_itself"]


PARENT = """
import sys, threading, time
from ros2_multihmr.ros.processes import Process
child = Process("child", [sys.executable, "-c", sys.argv[1]], {}, lambda name, line: print(line, flush=True))
time.sleep(60)
"""
CHILD = "import os, time; print(os.getpid(), os.getsid(0), flush=True); time.sleep(60)"


def test_children_end_with_a_parent_that_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True)
    pid, session = map(int, parent.stdout.readline().split())
    assert pid == session and _runs(pid)
    parent.kill()
    parent.wait(DEADLINE_S)
    deadline = time.monotonic() + DEADLINE_S
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_child_of_a_parent_that_is_gone_does_not_start():
    command = [sys.executable, str(CHILD_PROGRAM), str(os.getpid() + 1), sys.executable, "-c", "print('up')"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1 and "up" not in done.stdout and "is gone" in done.stderr
