"""The whole virtual robot over its in-process transport: body, sensors, time, and bytes that make no sense."""

from __future__ import annotations

import hashlib
import random
import time

import numpy as np
import pytest
from virtual_helpers import BOARD, SPEC, Host, bulk, home_counts, sync_read, u16

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import (
    quat_conjugate,
    quat_from_rotvec,
    quat_multiply,
    quat_to_matrix,
)
from wildrobot.firmware_bridge.board.driver import BoardSample
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.protocol import BROADCAST_ID, FastReply, Instruction, encode
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.firmware_bridge.virtual.physics import Physics
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport

IDS = SPEC.servo_ids
BLOCKS = [(BOARD, 128, 34), *((i, 132, 4) for i in IDS)]


def board_sample(host: Host) -> BoardSample:
    (status,) = host.ask(BOARD, Instruction.READ, u16(128) + u16(34))
    return BoardSample.decode(status.parameters)


# ---------------------------------------------------------------------- standing


def test_with_goals_at_home_the_robot_stands_and_stays_standing() -> None:
    host = Host(VirtualRobot(SPEC))
    host.port.sleep(0.5)
    before = host.robot.truth()
    assert not before.torque_on.any()
    assert before.pelvis_position[2] == pytest.approx(SPEC.standing_height, abs=0.003)
    host.stand()
    host.port.sleep(2.0)
    truth = host.robot.truth()
    assert truth.torque_on.all()
    assert truth.pelvis_position[2] == pytest.approx(SPEC.standing_height, abs=0.006)
    assert abs(truth.pelvis_quaternion[1:3]).max() < 0.02
    assert np.abs(truth.joint_position - SPEC.default_joint_pos).max() < 0.05
    assert np.abs(truth.goal_position - SPEC.default_joint_pos).max() < 0.001
    assert truth.foot_force.sum() == pytest.approx(SPEC.total_mass * 9.81, rel=0.02)


def test_until_the_torque_first_comes_on_it_stands_as_it_was_put_and_then_falls_when_let_go() -> None:
    host = Host(VirtualRobot(SPEC))
    host.port.sleep(3.0)
    assert host.robot.truth().pelvis_position[2] > 0.98 * SPEC.standing_height
    host.stand()
    host.sync_write(table.TORQUE_ENABLE, dict.fromkeys(IDS, 0))
    host.port.sleep(3.0)
    assert host.robot.truth().pelvis_position[2] < 0.8 * SPEC.standing_height


def test_a_limp_start_falls_and_a_push_is_a_change_of_velocity() -> None:
    robot = VirtualRobot(SPEC, start="limp")
    robot.advance(2_000_000_000)
    assert robot.truth().pelvis_position[2] < 0.8 * SPEC.standing_height
    before = robot.truth().pelvis_linear_velocity
    robot.physics.push(np.array([0.3, -0.2, 0.1]))
    assert robot.truth().pelvis_linear_velocity - before == pytest.approx([0.3, -0.2, 0.1])


def test_the_servo_follows_the_torque_speed_line() -> None:
    physics = Physics(SPEC, "limp", suspended=True)
    waist = SPEC.joint_names.index("waist_yaw")  # gravity has no part in it
    duty = np.zeros(SPEC.num_joints)
    duty[waist] = 1.0
    physics.data.qpos[physics._q[waist]] = -0.5
    speeds = []
    for _ in range(150):
        physics.step(duty, 12.0)
        speeds.append(physics.joint_velocity[waist])
    friction = 0.05 / SPEC.joint_damping[waist]
    assert max(speeds) == pytest.approx(SPEC.no_load_speed[waist] - friction, rel=0.01)
    assert physics.truth(0, duty > 0, duty).joint_torque[waist] == pytest.approx(4.1)
    physics.step(duty, 6.0)
    assert physics.truth(0, duty > 0, duty).joint_torque[waist] == pytest.approx(2.05)


# ---------------------------------------------------------------------- sensors


def test_a_level_robot_s_board_measures_gravity_up_and_its_weight() -> None:
    host = Host(VirtualRobot(SPEC, yaw_zero_rad=1.0))
    host.stand()
    host.port.sleep(1.0)
    sample = board_sample(host)
    assert sample.acceleration == pytest.approx([0.0, 0.0, 9.81], abs=0.4)
    assert sample.quaternion == pytest.approx([np.cos(0.5), 0.0, 0.0, np.sin(0.5)], abs=0.02)
    assert sample.foot_force.sum() == pytest.approx(SPEC.total_mass * 9.81, rel=0.05)
    assert 0.0 <= sample.age_s < 0.0035


def test_a_tilted_mount_shows_in_all_three_of_the_imu_s_values() -> None:
    tilt = np.array([np.radians(10.0), 0.0, 0.0])
    host = Host(VirtualRobot(SPEC, suspended=True, hidden=Hidden(imu_tilt_rad=tuple(tilt)), yaw_zero_rad=0.0))
    host.port.sleep(0.2)
    sample = board_sample(host)
    chip = quat_to_matrix(quat_from_rotvec(tilt))
    assert sample.acceleration == pytest.approx(chip.T @ [0.0, 0.0, 9.81], abs=0.1)
    assert sample.quaternion == pytest.approx(quat_from_rotvec(tilt), abs=0.001)


def test_a_suspended_robot_s_pelvis_stays_and_follows_the_stand() -> None:
    host = Host(VirtualRobot(SPEC, suspended=True, yaw_zero_rad=0.0))
    host.stand()
    host.port.sleep(0.3)
    at = host.robot.truth().pelvis_position
    target = quat_from_rotvec(np.array([0.0, 0.5, 0.0]))
    host.robot.physics.tilt(target, duration_s=0.5)
    host.port.sleep(0.25)
    rate = board_sample(host).angular_velocity
    assert rate[1] == pytest.approx(0.5 * 1.875 / 0.5, rel=0.05)  # a minimum-jerk turn is fastest half-way
    host.port.sleep(0.5)
    truth = host.robot.truth()
    assert truth.pelvis_quaternion == pytest.approx(target, abs=1e-6)
    assert truth.pelvis_position == pytest.approx(at)
    assert truth.foot_force.max() == 0.0
    assert board_sample(host).quaternion == pytest.approx(target, abs=0.01)


def test_a_hand_on_a_pad_is_felt_there_and_by_the_leg() -> None:
    host = Host(VirtualRobot(SPEC, suspended=True))
    host.stand()
    host.port.sleep(0.5)
    knee = host.robot.truth().joint_position
    host.robot.physics.hand_force[2] = 15.0
    host.port.sleep(0.5)
    assert board_sample(host).foot_force == pytest.approx([0.0, 0.0, 15.0, 0.0])
    assert np.abs(host.robot.truth().joint_position - knee)[5:].max() > 0.01


def test_hands_hold_the_joints_of_a_limp_robot() -> None:
    host = Host(VirtualRobot(SPEC, suspended=True))
    pose = SPEC.default_joint_pos + 0.1
    host.robot.physics.hold(pose)
    host.port.sleep(1.0)
    assert np.abs(host.robot.truth().joint_position - pose).max() < 0.04


@pytest.mark.parametrize("joint", ["left_knee_pitch", "right_knee_pitch"])
def test_present_positions_are_the_true_joints_in_counts(joint: str) -> None:
    host = Host(VirtualRobot(SPEC))
    i = SPEC.joint_names.index(joint)
    host.port.sleep(0.5)
    count = host.read(IDS[i], table.PRESENT_POSITION)
    true = host.robot.truth().joint_position[i]
    angle = SPEC.joint_direction[i] * (count - 2048) * 2 * np.pi / 4096 + SPEC.joint_offset[i]
    assert angle == pytest.approx(true, abs=0.001)


def test_hidden_errors_show_in_what_the_servos_say() -> None:
    hidden = Hidden(
        offset_rad={"waist_yaw": 0.1},
        flipped=("left_knee_pitch",),
        ids={"left_hip_roll": 33},
        bauds={"left_ankle_pitch": 57600},
        firmware={"right_hip_roll": 38},
        registers={"right_knee_pitch": {"return_delay_time": 250}},
    )
    host = Host(VirtualRobot(SPEC, hidden=hidden))
    unit = 2 * np.pi / 4096
    assert host.read(1, table.PRESENT_POSITION) == 2048 - round(0.1 / unit)
    knee = host.read(4, table.PRESENT_POSITION) - 2048
    assert knee == pytest.approx(-0.70 / unit, abs=40)
    assert host.ask(3, Instruction.PING) == host.ask(5, Instruction.PING) == []
    assert len(host.ask(33, Instruction.PING)) == 1
    assert host.read(7, table.FIRMWARE_VERSION) == 38
    assert host.read(8, table.RETURN_DELAY_TIME) == 250
    host.port.baud = 57600
    assert len(host.ask(5, Instruction.PING)) == 1


def test_hiding_something_of_an_unknown_joint_is_refused() -> None:
    with pytest.raises(UserError, match="there is no joint 'elbow'"):
        VirtualRobot(SPEC, hidden=Hidden(offset_rad={"elbow": 0.1}))


# ---------------------------------------------------------------------- board and servos on one line


def test_board_and_servos_answer_one_fast_bulk_read_in_any_order() -> None:
    host = Host(VirtualRobot(SPEC))
    for order in (BLOCKS, BLOCKS[::-1], [*BLOCKS[3:], *BLOCKS[:3]]):
        host.port.write(encode(BROADCAST_ID, Instruction.FAST_BULK_READ, bulk(*order)))
        reply = FastReply([(device, size) for device, _, size in order])
        began = host.port.now_ns()
        while data := host.port.read(0.002):
            reply.feed(data)
        assert [block.device for block in reply.blocks] == [device for device, _, _ in order]
        assert not reply.failed
        assert host.port.now_ns() - began - 2_000_000 == pytest.approx(reply.layout.size * 10_000, abs=3000)


def test_board_and_servos_answer_one_plain_bulk_read_in_any_order() -> None:
    host = Host(VirtualRobot(SPEC))
    for order in (BLOCKS, BLOCKS[::-1], [*BLOCKS[3:], *BLOCKS[:3]]):
        statuses = host.ask(BROADCAST_ID, Instruction.BULK_READ, bulk(*order))
        assert [status.device for status in statuses] == [device for device, _, _ in order]


def test_a_broadcast_ping_finds_everybody() -> None:
    host = Host(VirtualRobot(SPEC))
    statuses = host.ask(BROADCAST_ID, Instruction.PING, timeout_s=0.7)
    assert [status.device for status in statuses] == [*sorted(IDS), BOARD]


# ---------------------------------------------------------------------- time


def test_time_passes_only_while_somebody_waits() -> None:
    port = VirtualTransport(VirtualRobot(SPEC))
    assert port.now_ns() == 0
    port.sleep(0.25)
    assert port.now_ns() == 250_000_000
    port.write(bytes(100))
    assert port.now_ns() == 251_000_000
    assert port.read(0.004) == b""
    assert port.now_ns() == 255_000_000


def test_a_read_returns_when_the_bytes_are_there() -> None:
    port = VirtualTransport(VirtualRobot(SPEC))
    port.write(encode(1, Instruction.PING))
    began = port.now_ns()
    assert len(port.read(1.0)) == 14
    assert port.now_ns() - began == 140_000


def conversation(seed: int) -> str:
    host, digest = Host(VirtualRobot(SPEC, seed=seed)), hashlib.sha256()
    host.robot.wire.bit_error_rate = 1e-4
    rng, goals = random.Random(1), host.stand()
    for _ in range(100):
        host.port.write(encode(BROADCAST_ID, Instruction.FAST_BULK_READ, bulk(*BLOCKS)))
        while data := host.port.read(0.003):
            digest.update(data + str(host.port.now_ns()).encode())
        moved = {i: goal + rng.randrange(-30, 30) for i, goal in goals.items()}
        host.sync_write(table.GOAL_POSITION, moved)
        host.port.sleep(0.01)
    return digest.hexdigest()


def test_one_seed_gives_the_same_bytes_at_the_same_times() -> None:
    assert conversation(3) == conversation(3)
    assert conversation(3) != conversation(4)


def test_it_runs_faster_than_real_time() -> None:
    robot = VirtualRobot(SPEC)
    took = []
    for k in range(3):  # the best of three: the machine may be busy
        began = time.perf_counter()
        robot.advance((k + 1) * 500_000_000)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.25


# ---------------------------------------------------------------------- nonsense


def nonsense(rng: random.Random) -> bytes:
    """Random bytes, or a packet with some of them changed."""
    kind = rng.randrange(4)
    body = rng.randbytes(rng.randrange(40))
    if kind == 0:
        return body
    instruction = rng.choice([*Instruction, rng.randrange(256)])
    device = rng.choice([*IDS, BOARD, BROADCAST_ID, rng.randrange(256)])
    if kind == 1 and instruction in (Instruction.SYNC_READ, Instruction.FAST_SYNC_READ):
        body = sync_read(0, rng.randrange(700), rng.randrange(12), IDS)[2]
    packet = bytearray(encode(device, instruction, body))
    if kind == 3:
        for _ in range(rng.randrange(1, 4)):
            packet[rng.randrange(len(packet))] = rng.randrange(256)
    return bytes(packet)


def feed_nonsense(count: int, seed: int) -> None:
    """`count` strings into one robot, with pauses; it must be alive afterwards."""
    rng = random.Random(seed)
    robot = VirtualRobot(SPEC, seed=seed)
    now = 0
    for _ in range(count):
        now = robot.receive(nonsense(rng), now)
        if rng.random() < 0.2:
            now += rng.randrange(3_000_000)
        robot.output(now)
    # Whatever it was told, ids and rates included, physics and line are alive.
    robot.advance(now + 500_000_000)
    state = robot.truth()
    assert np.isfinite(state.joint_position).all()
    assert np.isfinite(state.pelvis_position).all()
    assert robot.wire.next_ns() is None or robot.wire.next_ns() > now


def test_thousands_of_nonsense_strings_neither_crash_nor_stop_it() -> None:
    feed_nonsense(4_000, seed=1)


@pytest.mark.slow
def test_a_hundred_thousand_nonsense_strings_neither_crash_nor_stop_it() -> None:
    for seed in range(10):
        feed_nonsense(10_000, seed=10 + seed)


def test_pure_noise_does_not_make_it_deaf() -> None:
    host = Host(VirtualRobot(SPEC))
    rng = random.Random(5)
    for _ in range(50):
        host.port.write(rng.randbytes(200) + b"\xff\xff\xfd\x00\x01\xff\x02")
        host.port.sleep(0.003)
        assert len(host.ask(3, Instruction.PING)) == 1
        assert len(host.ask(BOARD, Instruction.PING)) == 1


def test_home_counts_are_inside_the_servos_limits() -> None:
    host = Host(VirtualRobot(SPEC))
    for i, count in home_counts().items():
        assert host.read(i, table.MIN_POSITION_LIMIT) < count < host.read(i, table.MAX_POSITION_LIMIT)


def test_rotations_agree_with_each_other() -> None:
    rng = np.random.default_rng(0)
    a, b = (quat_from_rotvec(rng.normal(size=3)) for _ in range(2))
    assert quat_to_matrix(quat_multiply(a, b)) == pytest.approx(quat_to_matrix(a) @ quat_to_matrix(b))
    assert quat_multiply(a, quat_conjugate(a)) == pytest.approx([1.0, 0.0, 0.0, 0.0])
