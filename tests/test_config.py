"""Configuration: typed, strict, and never silent about a key."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from wildrobot.cli.reference.build import parse as parse_build
from wildrobot.cli.train import parse
from wildrobot.core.config import from_dict, load_config, load_yaml, to_dict
from wildrobot.core.errors import UserError
from wildrobot.training.preset import PRESETS
from wildrobot.training.reference.build import BuildConfig
from wildrobot.training.setup import TrainConfig


@dataclass(frozen=True)
class Inner:
    """A nested configuration."""

    weight: float = 1.0
    limits: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Outer:
    """One field of every kind that is used."""

    count: int = 1
    rate: float = 0.5
    name: str = "a"
    on: bool = False
    path: Path | None = None
    kind: Literal["clip", "sigmoid"] = "clip"
    sizes: tuple[int, ...] = (1, 2)
    frames: dict[str, int] = field(default_factory=dict)
    items: list[Inner] = field(default_factory=list)
    inner: Inner = Inner()


def test_an_unknown_key_is_refused_and_the_nearest_known_one_named() -> None:
    with pytest.raises(UserError, match=r"'cuont'.*did you mean 'count'"):
        from_dict(Outer, {"cuont": 3})


def test_an_unknown_nested_key_is_refused_and_its_place_named() -> None:
    with pytest.raises(UserError, match=r"'wieght' in configuration\.inner.*'weight'"):
        from_dict(Outer, {"inner": {"wieght": 3.0}})


def test_a_key_like_no_other_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="known keys: weight, limits"):
        from_dict(Inner, {"zzz": 1})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("count", 1.5),
        ("count", "1"),
        ("count", True),
        ("rate", "fast"),
        ("rate", True),
        ("name", 3),
        ("on", 1),
        ("kind", "cosine"),
        ("sizes", 3),
        ("sizes", [1, "two"]),
        ("frames", [1]),
        ("frames", {"features": "two"}),
        ("items", 3),
        ("items", [3]),
        ("inner", 3),
        ("inner", {"limits": [0.0]}),
        ("inner", None),
        ("path", 3),
    ],
)
def test_a_value_of_another_type_is_refused_and_the_key_named(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"configuration\.{key}"):
        from_dict(Outer, {key: value})


def test_values_arrive_as_the_declared_types() -> None:
    data = {"rate": 2, "path": "x/y", "sizes": [3], "items": [{"weight": 2}], "inner": {"limits": [1, 2]}}
    result = from_dict(Outer, data)
    assert result == Outer(
        rate=2.0, path=Path("x/y"), sizes=(3,), items=[Inner(2.0)], inner=Inner(limits=(1.0, 2.0))
    )
    assert type(result.rate) is float


def test_what_is_not_named_keeps_its_value_in_the_base() -> None:
    base = Outer(count=7, inner=Inner(weight=3.0))
    result = from_dict(Outer, {"inner": {"limits": [0.2, 0.3]}}, base)
    assert result == Outer(count=7, inner=Inner(weight=3.0, limits=(0.2, 0.3)))


def test_a_configuration_survives_the_way_through_yaml() -> None:
    config = Outer(path=Path("a"), items=[Inner(2.0)], frames={"features": 2}, sizes=())
    assert from_dict(Outer, to_dict(config)) == config


def test_a_missing_file_a_broken_one_and_a_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        load_yaml(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1, 2")
    with pytest.raises(UserError, match="not valid YAML"):
        load_yaml(broken)
    listed = tmp_path / "list.yaml"
    listed.write_text("- 1\n- 2\n")
    with pytest.raises(UserError, match="holds a list, expected a mapping"):
        load_config(Outer, listed)


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert load_config(Outer, tmp_path / "empty.yaml") == Outer()


def test_the_file_at_fault_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("rate: fast\n")
    with pytest.raises(UserError, match=r"mine\.yaml\.rate"):
        load_config(Outer, path)


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_is_a_configuration(path: Path) -> None:
    data = load_yaml(path)
    assert set(data) <= {"reference", "train"}
    from_dict(BuildConfig, data.get("reference", {}))
    assert parse(["--preset", path.stem]).preset == path.stem


def test_flags_win_over_the_preset_and_the_preset_over_the_defaults() -> None:
    iterations = load_yaml(PRESETS / "quick.yaml")["train"]["iterations"]
    assert iterations != TrainConfig().iterations
    assert parse(["--preset", "quick"]).iterations == iterations
    assert parse(["--preset", "quick", "--iterations", "3"]).iterations == 3


def test_a_preset_is_named_in_each_of_the_ways_that_flags_have(tmp_path: Path) -> None:
    quick = parse(["--preset", "quick"])
    assert parse(["--preset=quick"]) == quick
    assert parse(["--preset", "walk", "--preset", "quick"]).preset == "quick"
    assert parse_build(["--preset=quick", "--seed", "3"]).gaits == parse_build(["--preset", "quick"]).gaits
    for asked in (parse, parse_build):
        with pytest.raises(UserError, match="--preset needs a value"):
            asked(["--preset"])


def test_an_unknown_preset_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"no preset 'quik'; known presets: .*quick"):
        parse(["--preset", "quik"])


def test_the_configuration_that_a_run_saves_is_read_back_equal(tmp_path: Path) -> None:
    import yaml

    config = parse(["--preset", "quick", "--seed", "4", "--amp.reward", "quadratic"])
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(to_dict(config)))
    assert parse(["--config", str(path)]) == config


@pytest.mark.parametrize(
    "flags",
    ["--num-envs 0", "--steps -3", "--threads -1", "--hidden 256 0", "--ppo.minibatches 0", "--amp.batch 0",
     "--amp.frames 0", "--episode-s nan"],
)  # fmt: skip
def test_a_number_that_cannot_be_is_named_before_anything_is_made(flags: str, tmp_path: Path) -> None:
    name, *_, value = flags.split()
    field = name.lstrip("-").split(".")[-1].replace("-", "_")
    with pytest.raises(UserError, match=rf"{field} is .*{value}.*, expected .* or more"):
        parse([*flags.split(), "--run-dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_an_iteration_of_few_robots_has_as_many_samples() -> None:
    for robots, steps in ((64, 192), (256, 48), (512, 24), (4096, 24)):
        assert parse(["--num-envs", str(robots)]).rollout_steps == steps
    assert parse(["--num-envs", "64", "--steps", "24"]).rollout_steps == 24
