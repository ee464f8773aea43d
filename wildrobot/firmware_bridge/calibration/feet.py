"""Which foot input is which pad: somebody presses one after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wildrobot.firmware_bridge.calibration.hands import Hands, PressFoot
from wildrobot.firmware_bridge.calibration.sampling import Sample, Sampler
from wildrobot.robot_description import RobotSpec

Array = NDArray[np.float64]


def pressed_pad(before: Array, during: Array, on_n: float) -> int | None:
    """Index of the pad whose force rose most, from forces (k,) before and (T, k) during a press, N; None: none did.

    The upper quartile of the press counts: a hand does not press all the time, and a spike is no press.
    """
    rise = np.percentile(during, 75, axis=0) - before
    best = int(np.argmax(rise))
    return best if rise[best] > on_n else None


def check_feet(spec: RobotSpec, sampler: Sampler, hands: Hands) -> list[str]:
    """Ask for every pad to be pressed; returns what is wrong, in words."""
    wrong = []
    for foot, name in enumerate(spec.foot_names):
        before = _forces(spec, sampler.record(0.2))
        samples: list[Sample] = []

        def each(samples: list[Sample] = samples) -> None:
            samples.append(sampler.read())
            sampler.wait()

        title = name.replace("_", " ").upper()
        if not hands.perform(PressFoot(f"{title}: press this pad firmly for a second.", name), each):
            continue
        during = _forces(spec, samples)
        if len(before) == 0 or len(during) == 0:
            wrong.append(f"{name}: the sensor board gave no forces. Check its cable")
            continue
        found = pressed_pad(np.median(before, axis=0), during, spec.foot_switch.on_n)
        if found is None:
            wrong.append(f"{name}: no input rose when it was pressed. Check the sensor and its wire")
        elif found != foot:
            wrong.append(
                f"{name}: {spec.foot_names[found]} rose when it was pressed. Exchange the two wires at the board"
            )
        else:
            hands.say(f"{name} answers")
    return wrong


def _forces(spec: RobotSpec, samples: Sequence[Sample]) -> Array:
    boards = [sample.board for sample in samples if sample.board is not None]
    return np.array([board.foot_force[: spec.num_feet] for board in boards])
