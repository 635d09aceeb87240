"""Bags: serialized messages into a rosbag2 folder with MCAP storage, on machines without rosbag2."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import TracebackType
from typing import Any

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

_BAG_VERSION = 9  # Jazzy's; later ROS 2 reads it too
_PRIMITIVES = {"double": "float64", "float": "float32", "boolean": "bool", "octet": "byte"}
_SEQUENCE = re.compile(r"sequence<(?P<of>.+?)(?:, (?P<most>\d+))?>$")
_ARRAY = re.compile(r"(?P<of>.+)\[(?P<size>\d+)\]$")
_BOUNDED = re.compile(r"(?P<of>w?string)<(?P<most>\d+)>$")


def message_definition(kind: type[Any]) -> str:
    """Returns the fields of a message class as the text of a .msg file, without constants, defaults and comments."""
    fields = kind.get_fields_and_field_types()
    return "".join(f"{_msg_type(idl)} {name}\n" for name, idl in fields.items())


def _msg_type(idl: str) -> str:
    if match := _SEQUENCE.match(idl):
        return f"{_msg_type(match['of'])}[{'<=' + match['most'] if match['most'] else ''}]"
    if match := _ARRAY.match(idl):
        return f"{_msg_type(match['of'])}[{match['size']}]"
    if match := _BOUNDED.match(idl):
        return f"{match['of']}<={match['most']}"
    return _PRIMITIVES.get(idl, idl)


def type_name(kind: type[Any]) -> str:
    """Returns the ROS name of a message class: `sensor_msgs/msg/Image`."""
    package, folder = kind.__module__.split(".")[:2]
    return f"{package}/{folder}/{kind.__name__}"


def register(store: Typestore, kind: type[Any]) -> None:
    """Adds a message class and every class inside it to a store of message definitions."""
    if type_name(kind) in store.fielddefs:
        return
    for part in re.findall(r"(\w+)/(\w+)", message_definition(kind)):
        register(store, getattr(importlib.import_module(f"{part[0]}.msg"), part[1]))
    store.register(get_types_from_msg(message_definition(kind), type_name(kind)))


class BagWriter:
    """Writes one bag; a context manager.

    Args:
        path: Folder of the bag; must not exist.

    Raises:
        ValueError: The folder is there already, or cannot be made.
    """

    def __init__(self, path: Path | str) -> None:
        self._store = get_typestore(Stores.EMPTY)
        try:
            self._writer = Writer(path, version=_BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except WriterError as error:
            raise ValueError(f"{error} Give the bag a new folder, or move the old one away.") from error
        except OSError as error:
            raise ValueError(f"{path}: no bag can be written there ({error.strerror}); give another folder") from error

    def add_topic(self, topic: str, kind: type[Any], qos: QoSProfile) -> Connection:
        """Adds a topic with its message class and the quality of service that a player should offer."""
        register(self._store, kind)
        return self._writer.add_connection(
            topic, type_name(kind), typestore=self._store, offered_qos_profiles=(_offered(qos),)
        )

    def write(self, topic: Connection, raw: bytes, time_ns: int) -> None:
        """Writes one serialized message, received at `time_ns` [ns since the epoch]."""
        self._writer.write(topic, time_ns, raw)

    def close(self) -> None:
        """Writes the index; without it the bag cannot be read."""
        self._writer.close()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_bag(path: Path | str) -> dict[str, list[tuple[int, Any]]]:
    """Reads a bag with the message definitions that it holds itself.

    Returns:
        Per topic: times of reception [ns since the epoch] and messages, in the order of time.

    Raises:
        ValueError: The folder is no bag, or a damaged one.
    """
    messages: dict[str, list[tuple[int, Any]]] = {}
    try:
        with AnyReader([Path(path)]) as reader:
            for connection, time_ns, raw in reader.messages():
                message = reader.deserialize(raw, connection.msgtype)
                messages.setdefault(connection.topic, []).append((time_ns, message))
    except (AnyReaderError, OSError) as error:
        raise ValueError(f"{path}: cannot be read as a bag: {error}") from error
    return messages


def _offered(qos: QoSProfile) -> Qos:
    endless = QosTime(sec=9223372036, nsec=854775807)  # rmw's infinite duration
    reliable = qos.reliability == ReliabilityPolicy.RELIABLE
    latched = qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
    return Qos(
        history=QosHistory.KEEP_ALL if qos.history == HistoryPolicy.KEEP_ALL else QosHistory.KEEP_LAST,
        depth=qos.depth,
        reliability=QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=endless,
        lifespan=endless,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=endless,
        avoid_ros_namespace_conventions=False,
    )
