"""Diagnostics: what happened to every image, how long each stage took, and what is wrong, in plain words."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import torch
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from ros2_multihmr.ros.lifecycle import FINALIZED


class Fate(Enum):
    """What became of an image that the callback received; every image ends in exactly one of these."""

    PUBLISHED = "published"
    NEWER_CAME = "dropped, a newer image came"
    TOO_OLD = "dropped, older than max_age_s"
    NOBODY_LISTENS = "dropped, nobody listens"
    BEYOND_RATE = "dropped, beyond target_rate"
    STOPPED = "dropped, the node stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class Report:
    """Counts since the node was configured, and what happened since the last report.

    Attributes:
        received: Images that the callback received, in all.
        fates: How many images ended how, in all.
        recent_received, recent_published, recent_failed: Images since the last report.
        stage_s: Mean seconds per stage of the images published since the last report.
        age_s: Mean time from the image's stamp to publishing, of the same images; None if there are none.
        people: People seen in the last published image.
        predicted: People who were followed and not seen in it.
        left_out: People beyond `max_humans` in it.
        last_error: Why the last image failed; empty if none did.
    """

    received: int
    fates: Mapping[Fate, int]
    recent_received: int
    recent_published: int
    recent_failed: int
    stage_s: Mapping[str, float]
    age_s: float | None
    people: int
    predicted: int
    left_out: int
    last_error: str

    @property
    def dropped(self) -> int:
        """Images dropped for any reason, in all."""
        return sum(count for fate, count in self.fates.items() if fate not in (Fate.PUBLISHED, Fate.FAILED))


@dataclass
class Statistics:
    """Collects what `Report` tells; safe to use from several threads."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _received: int = 0
    _fates: dict[Fate, int] = field(default_factory=lambda: dict.fromkeys(Fate, 0))
    _before: tuple[int, int, int] = (0, 0, 0)
    _stage_s: dict[str, float] = field(default_factory=dict)
    _age_s: float = 0.0
    _people: int = 0
    _predicted: int = 0
    _left_out: int = 0
    _last_error: str = ""

    def received(self) -> None:
        """Counts an image that the callback received."""
        with self._lock:
            self._received += 1

    def dropped(self, fate: Fate) -> None:
        """Counts an image that was not processed."""
        with self._lock:
            self._fates[fate] += 1

    def failed(self, error: str) -> None:
        """Counts an image that could not be processed."""
        with self._lock:
            self._fates[Fate.FAILED] += 1
            self._last_error = error

    def published(
        self, stage_s: Mapping[str, float], age_s: float, people: int, left_out: int, predicted: int = 0
    ) -> None:
        """Counts an image whose people were published, with what `Report` says about it."""
        with self._lock:
            self._fates[Fate.PUBLISHED] += 1
            for stage, seconds in stage_s.items():
                self._stage_s[stage] = self._stage_s.get(stage, 0.0) + seconds
            self._age_s += age_s
            self._people, self._left_out, self._predicted = people, left_out, predicted

    @property
    def counts(self) -> tuple[int, dict[Fate, int]]:
        """Images received, and how many of them ended how, in all."""
        with self._lock:
            return self._received, dict(self._fates)

    def report(self) -> Report:
        """Returns the counts, and begins a new period."""
        with self._lock:
            now = (self._received, self._fates[Fate.PUBLISHED], self._fates[Fate.FAILED])
            received, published, failed = (after - before for after, before in zip(now, self._before))
            report = Report(
                received=self._received,
                fates=dict(self._fates),
                recent_received=received,
                recent_published=published,
                recent_failed=failed,
                stage_s={stage: seconds / published for stage, seconds in self._stage_s.items()} if published else {},
                age_s=self._age_s / published if published else None,
                people=self._people,
                predicted=self._predicted,
                left_out=self._left_out,
                last_error=self._last_error,
            )
            self._before, self._stage_s, self._age_s = now, {}, 0.0
            return report


def diagnostic_array(
    stamp: Time,
    name: str,
    device: torch.device,
    report: Report,
    period_s: float,
    problems: Sequence[str],
    facts: Mapping[str, str],
) -> DiagnosticArray:
    """Builds the message for one period.

    Args:
        stamp: Time of the report.
        name: Name of the node.
        device: Where the network runs.
        report: The period's counts and times.
        period_s: Its length [s].
        problems: What is wrong besides what the report tells, a sentence each.
        facts: More names and values to show.
    """
    values = {**facts, **_values(report, period_s), **_memory(device)}
    level, message = _judgement(report, problems)
    status = DiagnosticStatus(name=f"{name}: people", hardware_id=str(device), level=level, message=message)
    status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array


def idle_array(stamp: Time, name: str, state: str, why_not: str) -> DiagnosticArray:
    """Builds the message of a node that is not active.

    Args:
        stamp: Time of the report.
        name: Name of the node.
        state: Its lifecycle state.
        why_not: Why the last transition failed; empty if none did.
    """
    level = DiagnosticStatus.ERROR if why_not else DiagnosticStatus.OK
    idle = "shut down for good" if state == FINALIZED else "waits for lifecycle commands"
    message = f"{state}: {why_not or idle}"
    status = DiagnosticStatus(name=f"{name}: people", level=level, message=message)
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array


def _judgement(report: Report, problems: Sequence[str]) -> tuple[bytes, str]:
    errors, warnings = [], list(problems)
    if report.recent_failed:
        errors.append(f"{report.recent_failed} images failed: {report.last_error}")
    if report.left_out:
        warnings.append(f"{report.left_out} people left out, raise max_humans or detection_threshold")
    if errors:
        return DiagnosticStatus.ERROR, " | ".join(errors + warnings)
    if warnings:
        return DiagnosticStatus.WARN, " | ".join(warnings)
    return DiagnosticStatus.OK, f"{report.people} people in the last image"


def _values(report: Report, period_s: float) -> dict[str, str]:
    values = {
        "rate [Hz]": f"{report.recent_published / period_s:.2f}",
        "input rate [Hz]": f"{report.recent_received / period_s:.2f}",
        "people": str(report.people),
        "people predicted": str(report.predicted),
        "people left out": str(report.left_out),
        "image age [ms]": "" if report.age_s is None else f"{report.age_s * 1e3:.1f}",
        "received": str(report.received),
        "dropped": str(report.dropped),
        **{fate.value: str(count) for fate, count in report.fates.items()},
        "last error": report.last_error,
    }
    return values | {f"{stage} [ms]": f"{seconds * 1e3:.2f}" for stage, seconds in report.stage_s.items()}


def _memory(device: torch.device) -> dict[str, str]:
    if device.type != "cuda":
        return {}
    now, most = torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
    return {"GPU memory [MB]": f"{now / 1e6:.0f}", "GPU memory, most [MB]": f"{most / 1e6:.0f}"}
