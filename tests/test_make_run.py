"""The pipeline of `make run`: order, resuming, and an honest verdict."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from wildrobot.cli.make_run import make_run
from wildrobot.cli.make_run.make_run import plan
from wildrobot.cli.make_run.options import MakeRunOptions
from wildrobot.cli.make_run.pipeline import Pipeline, Stage
from wildrobot.cli.make_run.stages import stages
from wildrobot.cli.make_run.verdict import judge
from wildrobot.core.errors import UserError
from wildrobot.core.progress import duration


def stage(folder: Path, name: str, code: str = "", **more: Any) -> Stage:
    """A stage that appends its name to `order` and writes its output, after running `code`."""
    output = folder / f"{name}.out"
    note = f"open({str(folder / 'order')!r}, 'a').write('{name} ')"
    script = f"{code}\n{note}\nopen({str(output)!r}, 'w').write('done')"
    return Stage(name, f"does {name}", "1 s", (sys.executable, "-c", script), (output,), **more)


def order(folder: Path) -> list[str]:
    path = folder / "order"
    return path.read_text().split() if path.exists() else []


def pipeline(folder: Path, *parts: Stage) -> Pipeline:
    return Pipeline(parts, folder / ".stages", say=lambda text: None)


def test_stages_run_in_order_and_a_second_run_does_nothing(tmp_path: Path) -> None:
    parts = stage(tmp_path, "a"), stage(tmp_path, "b")
    assert pipeline(tmp_path, *parts).run() == 0
    assert pipeline(tmp_path, *parts).run() == 0
    assert order(tmp_path) == ["a", "b"]


def test_a_failure_stops_the_pipeline_and_the_next_run_goes_on_from_there(tmp_path: Path) -> None:
    broken = f"import os, sys\nif not os.path.exists({str(tmp_path / 'mended')!r}): sys.exit(3)"
    parts = stage(tmp_path, "a"), stage(tmp_path, "b", broken), stage(tmp_path, "c")
    assert pipeline(tmp_path, *parts).run() == 3
    assert order(tmp_path) == ["a"]
    (tmp_path / "mended").touch()
    assert pipeline(tmp_path, *parts).run() == 0
    assert order(tmp_path) == ["a", "b", "c"]


def test_a_changed_input_repeats_its_stage_and_all_later_ones(tmp_path: Path) -> None:
    preset = tmp_path / "preset.yaml"
    preset.write_text("one")

    def parts() -> tuple[Stage, ...]:
        return stage(tmp_path, "a"), stage(tmp_path, "b", inputs=(preset,)), stage(tmp_path, "c")

    assert pipeline(tmp_path, *parts()).run() == 0
    preset.write_text("two")
    assert pipeline(tmp_path, *parts()).finished() == 1
    assert pipeline(tmp_path, *parts()).run() == 0
    assert order(tmp_path) == ["a", "b", "c", "b", "c"]


def test_a_deleted_output_is_made_again_and_what_was_made_from_it_too(tmp_path: Path) -> None:
    parts = stage(tmp_path, "a"), stage(tmp_path, "b")
    assert pipeline(tmp_path, *parts).run() == 0
    (tmp_path / "a.out").unlink()
    assert pipeline(tmp_path, *parts).run() == 0
    assert order(tmp_path) == ["a", "b", "a", "b"]


def test_a_stage_that_ends_well_without_its_output_is_an_error(tmp_path: Path) -> None:
    lazy = Stage("lazy", "", "", (sys.executable, "-c", ""), (tmp_path / "never",))
    with pytest.raises(UserError, match=r"'lazy'.*never"):
        pipeline(tmp_path, lazy).run()
    assert pipeline(tmp_path, lazy).finished() == 0


def test_only_the_exit_codes_that_a_stage_allows_count_as_done(tmp_path: Path) -> None:
    fell = Stage("walk", "", "", (sys.executable, "-c", "raise SystemExit(1)"), (), fine=(0, 1))
    assert pipeline(tmp_path, fell).run() == 0
    assert pipeline(tmp_path / "b", Stage("walk", "", "", fell.command, ())).run() == 1


def test_a_half_done_stage_from_other_inputs_is_noticed_and_one_from_the_same_goes_on(tmp_path: Path) -> None:
    first = stage(tmp_path, "train", "raise SystemExit(130)", resumes=True)
    assert pipeline(tmp_path, first).run() == 130
    assert not pipeline(tmp_path, first).half_done_from_something_else()
    assert pipeline(
        tmp_path, stage(tmp_path, "train", "seed = 2", resumes=True)
    ).half_done_from_something_else()
    assert not pipeline(tmp_path, stage(tmp_path, "train", "seed = 2")).half_done_from_something_else()


def test_ctrl_c_lets_the_stage_end_in_its_own_way_and_the_next_run_continues(tmp_path: Path) -> None:
    """The stage saves on Ctrl-C, as training does; the second run finds what it saved."""
    saved = tmp_path / "saved"
    code = (
        f"import os, sys, time\nif not os.path.exists({str(saved)!r}):\n"
        f"    try:\n        print('working', flush=True)\n        time.sleep(30)\n"
        f"    except KeyboardInterrupt:\n        open({str(saved)!r}, 'w').write('x')\n        sys.exit(130)"
    )
    parts = stage(tmp_path, "a"), stage(tmp_path, "b", code)
    driver = tmp_path / "driver.py"
    plain = [(part.name, part.command, str(part.outputs[0])) for part in parts]
    driver.write_text(
        "import sys\nfrom pathlib import Path\nfrom wildrobot.cli.make_run.pipeline import Pipeline, Stage\n"
        f"parts = [Stage(n, '', '', c, (Path(o),)) for n, c, o in {plain!r}]\n"
        f"sys.exit(Pipeline(parts, Path({str(tmp_path / '.stages')!r})).run())\n"
    )
    command = [sys.executable, str(driver)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "working" in line:
                break
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        rest = process.stdout.read()
        assert process.wait(timeout=30) == 130
    assert "goes on from here" in rest
    assert saved.exists()
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    assert order(tmp_path) == ["a", "b"]


GOOD = {
    "walked_s": 20.0,
    "falls": 0,
    "mean_speed_m_s": 0.29,
    "heading_drift_max_rad": 0.2,
    "swing_clearance_m": {"left": 0.02, "right": 0.03},
}


def test_a_good_walk_passes_every_check() -> None:
    assert all(row["ok"] for row in judge(GOOD, MakeRunOptions()))


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        ({"falls": 1}, "no fall"),
        ({"walked_s": 12.0}, "no fall"),
        ({"mean_speed_m_s": 0.24}, "mean speed"),
        ({"mean_speed_m_s": 0.36}, "mean speed"),
        ({"mean_speed_m_s": None}, "mean speed"),
        ({"heading_drift_max_rad": -0.6}, "heading kept"),
        ({"swing_clearance_m": {"left": 0.014, "right": 0.03}}, "left swing clearance"),
        ({"swing_clearance_m": {"left": 0.02, "right": None}}, "right swing clearance"),
    ],
)
def test_each_shortcoming_fails_its_own_check_and_no_other(change: dict[str, Any], failing: str) -> None:
    rows = judge({**GOOD, **change}, MakeRunOptions())
    assert [row["check"] for row in rows if not row["ok"]] == [failing]


def test_the_plan_names_every_stage_its_time_and_why_there_is_no_video(tmp_path: Path) -> None:
    config = MakeRunOptions(out=tmp_path)
    text = plan(config, Pipeline(stages(config, can_film=False), tmp_path / ".stages"), "install libegl1")
    for name in ("reference", "train", "export", "eval", "walk"):
        assert name in text
    assert "min" in text
    assert "install libegl1" in text


def test_the_plan_promises_no_time_that_is_not_its_own(tmp_path: Path) -> None:
    def text(config: MakeRunOptions) -> str:
        return plan(config, Pipeline(stages(config, can_film=True), tmp_path / ".stages"), "")

    assert "About 16 minutes" in text(MakeRunOptions(out=tmp_path))
    with_walk = text(MakeRunOptions(out=tmp_path, preset="walk"))
    assert "about 24 min" in with_walk
    assert "16 minutes" not in with_walk
    assert "16 minutes" not in text(MakeRunOptions(out=tmp_path, reference=tmp_path / "reference.npz"))


def test_without_rendering_the_walk_asks_for_no_video(tmp_path: Path) -> None:
    walk = stages(MakeRunOptions(out=tmp_path), can_film=False)[-1]
    assert "--video" not in walk.command
    assert "--video" in stages(MakeRunOptions(out=tmp_path), can_film=True)[-1].command


def test_an_unknown_preset_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(UserError, match=r"'quikc'.*quick"):
        stages(MakeRunOptions(preset="quikc"), can_film=True)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--speed", "5"), r"--speed is 5\.0 m/s.*0\.0 to 0\.6"),
        (("--duration", "0"), r"--duration is 0\.0"),
    ],
)
def test_a_walk_that_cannot_be_is_refused_before_anything_is_begun(
    flags: tuple[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=said):
        make_run.main(["--out", str(tmp_path / "run"), *flags])
    assert not (tmp_path / "run").exists()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--out", "FILE/run"), "cannot write --out .*Not a directory"),
        (("--out", "/proc/run"), "cannot write --out /proc/run: "),
        (("--reference", "FILE"), "file is not a whole"),
        (("--reference", "absent.npz"), "cannot read the reference absent.npz"),
        (("--preset", "PRESET"), "unknown key 'itterations'.*'iterations'"),
    ],
)
def test_what_the_stages_need_is_looked_for_before_the_plan(
    flags: tuple[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "mine.yaml").write_text("train: {itterations: 3}\n")
    places = {"FILE": str(tmp_path / "file"), "PRESET": str(tmp_path / "mine.yaml")}
    option, value = flags
    for name, place in places.items():
        value = value.replace(name, place)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=said):
        make_run.main(["--out", str(tmp_path / "run"), option, value])
    assert capsys.readouterr().out == ""
    assert sorted(tmp_path.iterdir()) == before


def test_a_finished_pipeline_leaves_verdict_and_report_and_its_exit_code_tells_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "metrics.jsonl").write_text('{"iteration": 1, "steps": 10, "return_mean": 1.0}\n')

    def walked(**change: Any) -> tuple[Stage, ...]:
        text = json.dumps({**GOOD, **change})
        code = f"open({str(out / 'walk.json')!r}, 'w').write({text!r})"
        return (Stage("walk", "", "", (sys.executable, "-c", code), (out / "walk.json",)),)

    monkeypatch.setattr(make_run, "stages", lambda options, can_film: walked())
    assert make_run.main(["--out", str(out)]) == 0
    assert json.loads((out / "walk.json").read_text())["verdict"][0]["ok"] is True
    assert "no fall" in (out / "report.html").read_text()
    assert capsys.readouterr().out.count("PASS") == 5

    monkeypatch.setattr(make_run, "stages", lambda options, can_film: walked(mean_speed_m_s=0.1))
    assert make_run.main(["--out", str(out)]) == 1
    assert "FAIL  mean speed" in capsys.readouterr().out


def test_training_begun_with_other_settings_is_moved_aside_and_what_is_still_good_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"

    def parts(seed: int) -> tuple[Stage, ...]:
        train = Stage("train", "", "", (sys.executable, "-c", f"raise SystemExit({seed})"), (), resumes=True)
        return stage(out, "reference"), train

    out.mkdir()
    monkeypatch.setattr(make_run, "stages", lambda options, can_film: parts(3))
    assert make_run.main(["--out", str(out)]) == 3
    (out / "checkpoint.pt").write_text("hours of work")
    monkeypatch.setattr(make_run, "stages", lambda options, can_film: parts(4))
    assert make_run.main(["--out", str(out)]) == 4
    assert (tmp_path / "run-1" / "checkpoint.pt").read_text() == "hours of work"
    assert not (out / "checkpoint.pt").exists()
    assert (out / "reference.out").exists()
    assert (tmp_path / "run-1" / "order").read_text().split() == ["reference"]
    assert not (out / "order").exists()  # the reference was not built again


def test_a_stage_with_shared_outputs_is_not_repeated_by_another_pipeline(tmp_path: Path) -> None:
    shared = stage(tmp_path, "reference", stamps=tmp_path / "shared")
    assert Pipeline([shared], tmp_path / "one", say=lambda text: None).run() == 0
    assert Pipeline([shared], tmp_path / "two", say=lambda text: None).run() == 0
    assert order(tmp_path) == ["reference"]


def test_durations_are_words() -> None:
    assert (duration(12.4), duration(90), duration(9060)) == ("12 s", "1 min 30 s", "2 h 31 min")
