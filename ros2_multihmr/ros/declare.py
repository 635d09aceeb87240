"""Declares a dataclass of settings as a node's parameters."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import Field, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from ros2_multihmr.settings import setting_info

Config = TypeVar("Config")
_DECLARED_LATER = ("qos_overrides.",)  # by rclpy, with publishers and subscriptions


def declare_parameters(
    node: Node, kind: type[Any], fixed: str, *, read_only: bool = False, read_at_start: Collection[str] = ()
) -> None:
    """Declares every setting of a dataclass, and takes over what the parameter file and the command line say.

    Args:
        node: Gets the parameters.
        kind: Dataclass whose fields were declared with `setting`.
        fixed: Said of a setting that is no run-time setting.
        read_only: True to let ROS refuse every change of such a setting.
        read_at_start: Settings that are no run-time settings, and every change of which ROS refuses in any case.

    Raises:
        ValueError: A parameter is given that does not exist, or a whole number where ROS wants a decimal point.
        rclpy.exceptions.ParameterException: A value has the wrong type or is out of range.
    """
    # _parameter_overrides is what was given: rclpy has no public way to ask.
    for field in fields(kind):
        _check_decimal_point(field, node._parameter_overrides.get(field.name))
        _declare(node, field, _descriptor(field, fixed, read_only or field.name in read_at_start))
    # Without this, a misspelt key in a parameter file would go unnoticed.
    given = [name for name in node._parameter_overrides if not name.startswith(_DECLARED_LATER)]
    unknown = [name for name in given if not node.has_parameter(name)]
    if unknown:
        known = [field.name for field in fields(kind)]
        raise ValueError("; ".join(_unknown_parameter(name, known) for name in unknown))


def read_parameters(node: Node, kind: type[Config]) -> Config:
    """Returns the declared parameters' values as a `kind`, which checks them.

    Raises:
        ValueError: A value is not allowed.
    """
    return kind(**{field.name: setting_value(node.get_parameter(field.name)) for field in fields(kind)})  # type: ignore[arg-type]


def setting_value(parameter: Parameter) -> Any:
    """Returns a parameter's value as settings hold it: a list of words is a tuple."""
    return tuple(parameter.value) if isinstance(parameter.value, list) else parameter.value


def _declare(node: Node, field: Field[Any], descriptor: ParameterDescriptor) -> None:
    if not isinstance(field.default, tuple):
        node.declare_parameter(field.name, field.default, descriptor)
        return
    # ROS reads an empty list, in a file or as a default, as bytes or as a parameter that is not set at all.
    words = Parameter.Type.STRING_ARRAY
    declared = node.declare_parameter(field.name, words)
    if declared.value is None:
        (result,) = node.set_parameters([Parameter(field.name, words, list(field.default))])
        if not result.successful:
            raise ValueError(f"{field.name}: {result.reason}")
    descriptor.type = words.value
    node.set_descriptor(field.name, descriptor)  # not before: a read-only one would have refused the value


def _check_decimal_point(field: Field[Any], given: Parameter | None) -> None:
    """Tells how to write a number that ROS would refuse in its own words, which name no remedy."""
    if isinstance(field.default, float) and given is not None and given.type_ is Parameter.Type.INTEGER:
        raise ValueError(f"{field.name}: for ROS, {given.value} is a whole number, another type; write {given.value}.0")


def _descriptor(field: Field[Any], fixed: str, read_only: bool) -> ParameterDescriptor:
    info = setting_info(field)
    descriptor = ParameterDescriptor(description=info.description)
    constraints = [f"one of: {', '.join(info.choices)}"] if info.choices else []
    if info.low is not None and info.high is not None:
        _set_range(descriptor, info.low, info.high, whole=isinstance(field.default, int))
    elif info.low is not None:
        constraints.append(f"at least {info.low}")
    elif info.high is not None:
        constraints.append(f"at most {info.high}")
    if not info.runtime:
        constraints.append(fixed)
        descriptor.read_only = read_only
    descriptor.additional_constraints = "; ".join(constraints)
    return descriptor


def _set_range(descriptor: ParameterDescriptor, low: float, high: float, *, whole: bool) -> None:
    if whole:
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=0)]
    else:
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)]


def _unknown_parameter(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
    return f"unknown parameter {name}; {hint}"
