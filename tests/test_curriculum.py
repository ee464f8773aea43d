"""The curriculum rises when few fall, waits when many do, and never goes back."""

from __future__ import annotations

from typing import Any

import pytest

from wildrobot.core.errors import UserError
from wildrobot.training.tasks.curriculum import Curriculum, CurriculumConfig

CONFIG = CurriculumConfig(start=0.5, step=0.2, falls_per_1000_steps=1.0, window_steps=10_000)


def test_it_rises_by_one_step_when_a_window_had_few_falls() -> None:
    curriculum = Curriculum(CONFIG)
    levels = [curriculum.update(falls=2, steps=2500) for _ in range(8)]
    assert levels == pytest.approx([0.5, 0.5, 0.5, 0.7, 0.7, 0.7, 0.7, 0.9])
    assert curriculum.falls_per_1000_steps == pytest.approx(0.8)


def test_it_ends_at_one() -> None:
    curriculum = Curriculum(CONFIG)
    for _ in range(5):
        level = curriculum.update(0, 10_000)
    assert level == 1.0


@pytest.mark.parametrize("falls", [10, 11, 5000])
def test_it_stays_where_it_is_while_many_fall(falls: int) -> None:
    curriculum = Curriculum(CONFIG)
    curriculum.update(0, 10_000)
    for _ in range(20):
        assert curriculum.update(falls, 10_000) == pytest.approx(0.7)


def test_falls_of_one_window_do_not_count_in_the_next() -> None:
    curriculum = Curriculum(CONFIG)
    assert curriculum.update(5000, 10_000) == 0.5
    assert curriculum.update(9, 10_000) == pytest.approx(0.7)


def test_a_saved_curriculum_goes_on_where_it_was() -> None:
    one, two = Curriculum(CONFIG), Curriculum(CONFIG)
    one.update(0, 10_000)
    one.update(3, 9_999)
    two.load_state_dict(one.state_dict())
    assert two.state_dict() == one.state_dict()
    assert one.update(0, 1) == two.update(0, 1) == pytest.approx(0.9)


@pytest.mark.parametrize(
    "change", [{"start": 1.1}, {"step": 0.0}, {"falls_per_1000_steps": -1.0}, {"window_steps": 0}]
)
def test_what_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(change))):
        CurriculumConfig(**change)
