"""The lifecycle node: weights on configure, images while active."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo

from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.openmp import aside
from ros2_multihmr.refining.refiner import create_refiner
from ros2_multihmr.ros.bridges.registry import check_bridges
from ros2_multihmr.ros.camera_info import CameraChooser, CameraInfoCache
from ros2_multihmr.ros.diagnostics import Fate, Statistics, diagnostic_array, idle_array
from ros2_multihmr.ros.follower import Follower
from ros2_multihmr.ros.inputs import Inputs, image_topic, info_topic, subscribed_image
from ros2_multihmr.ros.lifecycle import logged, refuse_impossible_commands, state_of
from ros2_multihmr.ros.parameters import NodeConfig, check_change, declare, read
from ros2_multihmr.ros.pipeline import ImageMessage, Pipeline
from ros2_multihmr.ros.publishers import Publishers
from ros2_multihmr.ros.second_look import SecondLook
from ros2_multihmr.ros.silence import Silence
from ros2_multihmr.ros.worker import Worker
from ros2_multihmr.what_runs import what_runs

UNTRAINED_WARNING = "the weights were drawn at random and never trained: do not use the people for anything"


class MultiHMRNode(LifecycleNode):
    """Subscribes to an image and its CameraInfo, and publishes the people in it.

    Attributes:
        config: The parameters' values.
        statistics: What became of the images since the node was configured.
        active: True from activate to deactivate.

    Args:
        create: Makes the estimator from the settings.
        options: Passed to `rclpy.lifecycle.LifecycleNode`.

    Raises:
        ValueError: A parameter is unknown, or has a value that is not allowed.
    """

    # These exist from configure to cleanup,
    _estimator: Estimator
    _second_look: SecondLook
    _publishers_out: Publishers
    _cameras: CameraChooser
    _infos: CameraInfoCache
    _follower: Follower
    _pipeline: Pipeline
    # and these from activate to deactivate.
    _worker: Worker[ImageMessage]
    _inputs: Inputs
    _silence: Silence

    def __init__(self, create: Callable[[EstimatorConfig], Estimator] = create_estimator, **options: Any) -> None:
        super().__init__("multihmr", **options)
        refuse_impossible_commands(self)
        self.config: NodeConfig = declare(self)
        self.statistics = Statistics()
        self._create = create
        self._configured = False
        self.active = False
        self._incompatible: dict[str, str] = {}
        self._why_not = ""
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Diagnostics must come although simulated time stands still.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer: Timer = self._diagnose_every(self.config.diagnostics_period_s)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._take_parameters)

    # ---- lifecycle

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Reads the weights and creates the publishers; a GPU's memory is taken on activate."""
        try:
            check_bridges(self.config.bridges)
            self._estimator = aside(lambda: self._create(self.config))
            refiner = aside(lambda: create_refiner(self.config, self._estimator))
            self._second_look = SecondLook(refiner, self.get_logger())
            self._unload()
        except (ValueError, OSError, MemoryError, ImportError) as error:
            return self._refuse(f"cannot configure: {error}")
        network, body = self._estimator.backend.config, self._estimator.body.info
        self.get_logger().info(
            f"weights {network.weights}, body {body.name}, on {self._estimator.backend.device}: "
            f"{what_runs(self._estimator)}"
        )
        if network.untrained:
            self.get_logger().warning(UNTRAINED_WARNING)
        self.statistics, self._infos = Statistics(), CameraInfoCache()
        self._cameras = CameraChooser(self.config.rectify, image_topic(self), info_topic(self))
        self._publishers_out = Publishers(self, self.config, self._estimator, self._on_incompatible)
        self._follower = Follower(self, self.config, self.get_logger())
        self._pipeline = self._create_pipeline()
        self._configured, self._why_not = True, ""
        return super().on_configure(state)

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Takes the device's memory, starts the worker, and listens to images."""
        try:
            self._estimator.load()
            self._second_look.load()
        except (ValueError, OSError, MemoryError) as error:
            self._unload()
            return self._refuse(f"cannot activate: {error}")
        super().on_activate(state)
        self._publishers_out.publish_body_model()
        dropped = self.statistics.dropped
        self._silence = Silence(self._now_s())
        try:
            self._inputs = Inputs(
                self,
                self.config.image_transport,
                self._on_image,
                self._on_unreadable,
                self._on_info,
                self._on_incompatible,
            )
        except (ValueError, RuntimeError) as error:
            self._unload()
            super().on_deactivate(state)
            return self._refuse(f"cannot activate: {error}")
        self._worker = Worker(self._pipeline, lambda _: dropped(Fate.NEWER_CAME), lambda _: dropped(Fate.STOPPED))
        self._why_not = ""
        self.active = True
        return TransitionCallbackReturn.SUCCESS

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Finishes the image in work, takes all markers off the display, and gives the device's memory back."""
        self._stop()
        return super().on_deactivate(state)

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Frees the network."""
        self._why_not = ""
        self._release()
        return super().on_cleanup(state)

    @logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ends everything, from whatever state."""
        self._stop()
        super().on_deactivate(state)
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Goes back to the beginning after a transition failed, so that the node can be configured again."""
        self._why_not = self._why_not or "a transition failed, see the node's log"
        self._stop()
        super().on_deactivate(state)
        self._release()
        return super().on_error(state)

    def _stop(self) -> None:
        if not self.active:
            return
        self.active = False
        self._inputs.destroy()
        self._worker.stop()
        self._follower.forget()
        self._publishers_out.clear_markers()
        self._unload()
        del self._inputs, self._worker, self._silence

    def _unload(self) -> None:
        self._estimator.unload()
        self._second_look.unload()

    def _release(self) -> None:
        if not self._configured:
            return
        self._configured = False
        self._follower.destroy()
        self._publishers_out.destroy()
        del self._pipeline, self._follower, self._second_look, self._publishers_out, self._cameras, self._infos
        del self._estimator

    def _create_pipeline(self) -> Pipeline:
        topic = info_topic(self)
        return Pipeline(
            self._estimator, self.config, self._cameras, self._infos, lambda: self.count_publishers(topic) > 0,
            self._second_look, self._follower, self._publishers_out, self.statistics, self.get_clock(),
            self.get_logger(),
        )  # fmt: skip

    # ---- callbacks

    def _on_image(self, message: ImageMessage) -> None:
        if self.active:  # an image may be on its way through the executor when its subscription ends
            self._count_image()
            if self._pipeline.load.admits(self.config.target_rate):
                self._worker.submit(message)
            else:
                self.statistics.dropped(Fate.BEYOND_RATE)

    def _on_unreadable(self, error: ValueError) -> None:
        if self.active:
            self._count_image()
            self._pipeline.report_failure(error)

    def _count_image(self) -> None:
        self.statistics.received()
        self._silence.image(self._now_s())

    def _on_info(self, message: CameraInfo) -> None:
        if self.active:
            self._infos.put(message)
            self._silence.info(self._now_s())

    def _on_incompatible(self, topic: str, policy: str) -> None:
        problem = f"incompatible quality of service on {topic}: the other side's {policy} does not fit, nothing comes"
        if self._incompatible.get(topic) != problem:
            self.get_logger().warning(problem)
        self._incompatible[topic] = problem

    def _check_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        return check_change(self.config, changes, configured=self._configured)

    def _take_parameters(self, changes: list[Parameter]) -> None:
        before_s, self.config = self.config.diagnostics_period_s, read(self)
        if self.config.diagnostics_period_s != before_s:
            self.destroy_timer(self._timer)
            self._timer = self._diagnose_every(self.config.diagnostics_period_s)
        if self._configured:
            self._pipeline.estimator = self._estimator.with_config(self.config)
            self._pipeline.config = self.config

    def _publish_diagnostics(self) -> None:
        if self.active:
            self._publish_active_diagnostics()
        else:
            now = self.get_clock().now().to_msg()
            self._diagnostics.publish(idle_array(now, self.get_name(), state_of(self), self._why_not))

    def _publish_active_diagnostics(self) -> None:
        report = self.statistics.report()
        network, device = self._estimator.backend.config, self._estimator.backend.device
        problems = [UNTRAINED_WARNING] if network.untrained else []
        load = self._pipeline.load.state
        problems += [load.problem, self._cameras.problem, self._follower.problem, *self._publishers_out.problems]
        problems += [self._second_look.take_problem(), *self._incompatible.values()]
        if not report.recent_received:
            topic = subscribed_image(self, self.config.image_transport)[1]
            problems.append(self._silence.problem(self._now_s(), topic, self.count_publishers(topic)))
        facts = {
            "weights": network.weights,
            "untrained": str(network.untrained),
            "body": self._estimator.body.info.name,
            "calibrated": str(not self._cameras.problem),
            "people too weak to follow": str(self._follower.too_weak),
            "tracker resets": str(self._follower.resets),
            "camera pose unknown": str(self._follower.unknown_poses),
            **self._second_look.facts,
            **load.facts,
        }
        problems = [problem for problem in problems if problem]
        now, period_s = self.get_clock().now().to_msg(), self.config.diagnostics_period_s
        self._diagnostics.publish(diagnostic_array(now, self.get_name(), device, report, period_s, problems, facts))

    def _refuse(self, why: str) -> TransitionCallbackReturn:
        self.get_logger().error(why)
        self._why_not = why
        return TransitionCallbackReturn.FAILURE

    def _diagnose_every(self, period_s: float) -> Timer:
        return self.create_timer(period_s, self._publish_diagnostics, clock=self._steady)

    def _now_s(self) -> float:
        return float(self._steady.now().nanoseconds * 1e-9)
