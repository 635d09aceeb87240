"""What rclpy's lifecycle leaves open: an answer to commands that do not fit, and a word on transitions that break."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from lifecycle_msgs.srv import ChangeState
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

AnyNode = TypeVar("AnyNode", bound=LifecycleNode)
Transition = Callable[[AnyNode, LifecycleState], TransitionCallbackReturn]
FINALIZED = "finalized"


def logged(transition: Transition[AnyNode]) -> Transition[AnyNode]:
    """Logs an exception that ends a transition; rclpy would swallow it."""

    @functools.wraps(transition)
    def call(node: AnyNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception:
            node.get_logger().error(f"{transition.__name__} failed:\n{traceback.format_exc()}")
            raise

    return call


def refuse_impossible_commands(node: LifecycleNode) -> None:
    """Answers a command that does not fit the node's state with `success: false`.

    rclpy raises in the service's callback instead, and whoever gave the command waits for ever.
    """
    service = node._service_change_state
    change_state = service.callback

    def on_change_state(request: Any, response: ChangeState.Response) -> ChangeState.Response:
        try:
            return change_state(request, response)
        except rclpy_implementation.RCLError:
            asked = request.transition.label or f"transition {request.transition.id}"
            node.get_logger().error(f"lifecycle command refused: {asked} is not possible while {state_of(node)}")
            response.success = False
            return response

    service.callback = on_change_state


def state_of(node: LifecycleNode) -> str:
    """Returns the label of the node's state, for example "unconfigured"."""
    return str(node._state_machine.current_state[1])
