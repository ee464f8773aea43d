"""Names and units of exported values: as the `.lcm` files have them, for every field of every message."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from wildrobot.robot_description import load_robot
from wildrobot.runtime.control.guards import GUARDS
from wildrobot.runtime.logs.decoding import AXES, observation_names
from wildrobot.runtime.logs.named_values import QUANTITIES, unit_of_quantity
from wildrobot.runtime.logs.units import field_notes, parse_notes, unit_of_name
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES
from wildrobot.signal_path.command import COMMAND_NAMES
from wildrobot.signal_path.features import feature_names
from wildrobot.signal_path.observation import ObservationTerm, make_layout, term_sizes

WITHOUT_A_UNIT = {
    "imu_quaternion", "projected_gravity", "foot_contact", "torque_gain", "style_score", "action",
    "features", "observation", "guard_value",
}  # fmt: skip
"""Floating-point fields that are numbers without a dimension, or whose values have units one by one."""


def test_every_field_has_its_note_and_every_measured_one_its_unit() -> None:
    without = set()
    for kind in CHANNEL_TYPES.values():
        notes = field_notes(kind)
        assert list(notes) == kind.__slots__
        for field, lcm_type in zip(kind.__slots__, kind.__typenames__, strict=True):
            if lcm_type in ("double", "float") and not notes[field].units:
                without.add(field)
            if lcm_type in ("string", "boolean"):
                assert not notes[field].units, field
    assert without == WITHOUT_A_UNIT


def test_fields_of_one_name_have_one_unit() -> None:
    units: dict[str, tuple[str, ...]] = {}
    for kind in CHANNEL_TYPES.values():
        for field, note in field_notes(kind).items():
            assert units.setdefault(field, note.units) == note.units, field


def test_a_comment_begins_with_the_unit_or_has_none() -> None:
    notes = parse_notes(
        """
        // rad: a line of its own belongs to no field
        struct example_t
        {
            const int8_t NONE = 0;
            int32_t num_joints;
            // rad, heading frame
            double  angle[num_joints];
            // m/s, rad/s: what the person asked,
            // over two lines
            double  pair[2];
            // m/s^2 specific force, IMU frame
            double  force[3];
            // radians are something else
            double  radius;
            // since the last word
            double  age_s;
            double  offset_m;
            // m: not a length
            string  why;
        }
        """
    )
    assert {name: note.units for name, note in notes.items()} == {
        "num_joints": (),
        "angle": ("rad",),
        "pair": ("m/s", "rad/s"),
        "force": ("m/s^2",),
        "radius": (),
        "age_s": ("s",),
        "offset_m": ("m",),
        "why": ("m",),
    }
    assert notes["pair"].text == "m/s, rad/s: what the person asked, over two lines"
    assert [notes["pair"].unit(i) for i in (0, 1)] == ["m/s", "rad/s"]
    assert [notes["angle"].unit(i) for i in (0, 8)] == ["rad", "rad"]


def test_lcm_gen_gives_each_field_the_same_note() -> None:
    """A comment at the end of a line would go to the field after it."""
    for kind in CHANNEL_TYPES.values():
        source = Path(inspect.getfile(kind)).read_text(encoding="utf-8")
        for field, note in field_notes(kind).items():
            (found,) = re.findall(rf'self\.{field} = [^\n]*\n\s+"""\s(.*?)LCM Type', source, re.DOTALL)
            assert " ".join(found.split()) == note.text, (kind.__name__, field)


def test_guards_have_the_unit_of_their_name() -> None:
    assert {name: unit_of_name(name) for name in GUARDS} == {
        "tilt_rad": "rad",
        "falling_rad": "rad",
        "tracking_error_rad": "rad",
        "joint_limit_rad": "rad",
        "joint_velocity_rad_s": "rad/s",
        "current_a": "A",
        "temperature_c": "degC",
        "voltage_low_v": "V",
        "voltage_high_v": "V",
        "sample_age_s": "s",
        "quaternion_norm_error": "",
        "missed_ticks_in_a_row": "",
        "hardware_errors": "",
        "policy_output_clips": "",
    }


def test_features_and_observations_have_the_units_that_the_signal_path_documents() -> None:
    spec = load_robot()
    fields = {field for kind in CHANNEL_TYPES.values() for field in field_notes(kind)}
    assert {name for name in term_sizes(spec) if name not in fields | set(QUANTITIES)} == set()
    of_feature = {name.split("/")[0]: unit_of_quantity(name) for name in feature_names(spec)}
    # compute_features: rad; rad/s; unit vector; rad/s; m; 0 or 1
    assert list(of_feature.values()) == ["rad", "rad/s", "", "rad/s", "m", ""]
    layout = make_layout(spec, dict.fromkeys(term_sizes(spec), 2))
    parts = {
        "features": feature_names(spec),
        "command": COMMAND_NAMES,
        "previous_action": spec.joint_names,
    }
    names = observation_names(layout, parts)
    assert len(set(names)) == len(names) == sum(2 * size for size in term_sizes(spec).values())
    assert not [name for name in names if re.search(r"/value_\d+$", name)]
    units = {name: unit_of_quantity(name) for name in names}
    assert units["features_1_ticks_ago/joint_velocity/waist_yaw"] == "rad/s"
    assert units["linear_velocity/x"] == units["pelvis_linear_velocity_1_ticks_ago/y"] == "m/s"
    assert units["torso_angular_velocity/x"] == units["pelvis_angular_velocity/z"] == "rad/s"
    assert units["command_1_ticks_ago/linear_velocity_x"] == "m/s"
    assert units["command/yaw_rate"] == "rad/s"
    assert units["projected_gravity/z"] == units["gait_clock/sin"] == units["previous_action/waist_yaw"] == ""


def test_an_observation_s_slice_without_known_names_has_numbers_and_the_oldest_first() -> None:
    layout = (ObservationTerm("height_scan", 2, 2, 1.0), ObservationTerm("projected_gravity", 3, 1, 1.0))
    assert observation_names(layout, {"height_scan": ("only_one",)}) == [
        "height_scan_1_ticks_ago/value_0",
        "height_scan_1_ticks_ago/value_1",
        "height_scan/value_0",
        "height_scan/value_1",
        *(f"projected_gravity/{axis}" for axis in AXES),
    ]
