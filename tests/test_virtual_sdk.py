"""The maker's own software against the virtual robot over its pseudo-terminal: every call it has, unchanged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dynamixel_sdk as sdk
import pytest
from virtual_helpers import BOARD, SPEC, home_counts

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.protocol import Instruction, encode

IDS = SPEC.servo_ids
GOAL, POSITION = table.GOAL_POSITION.address, table.PRESENT_POSITION.address


class Served:
    """A virtual robot in a process of its own (the SDK waits by spinning), and the SDK's port on it."""

    def __init__(self, link: Path) -> None:
        command = [sys.executable, "-m", "wildrobot", "virtual-robot", "--link", str(link)]
        command += ["--fault", "0s overload servo=6"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.port = sdk.PortHandler(str(link))
        self.packets = sdk.PacketHandler(2.0)
        assert self.port.setBaudRate(SPEC.config.bus.baud)

    def close(self) -> None:
        self.port.closePort()
        self.process.terminate()
        assert self.process.wait(timeout=10) == 0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    found = Served(tmp_path_factory.mktemp("pty") / "robot")
    try:
        yield found
        found.close()
    finally:
        found.process.kill()


def ok(result: int, error: int = 0) -> None:
    assert (result, error) == (sdk.COMM_SUCCESS, 0)


def test_ping(served: Served) -> None:
    for device, model in [*((i, 1020) for i in IDS), (BOARD, 22354)]:
        found, result, _ = served.packets.ping(served.port, device)
        ok(result)
        assert found == model


def test_broadcast_ping(served: Served) -> None:
    found, result = served.packets.broadcastPing(served.port)
    ok(result)
    assert found == {**{i: [1020, 48] for i in IDS}, BOARD: [22354, 1]}


def test_read_and_write(served: Served) -> None:
    packets, port = served.packets, served.port
    ok(*packets.write1ByteTxRx(port, 3, table.LED.address, 1))
    assert packets.read1ByteTxRx(port, 3, table.LED.address) == (1, 0, 0)
    ok(*packets.write2ByteTxRx(port, 3, table.POSITION_P_GAIN.address, 640))
    assert packets.read2ByteTxRx(port, 3, table.POSITION_P_GAIN.address) == (640, 0, 0)
    goal = home_counts()[3]
    ok(*packets.write4ByteTxRx(port, 3, GOAL, goal))
    assert packets.read4ByteTxRx(port, 3, GOAL) == (goal, 0, 0)
    result, error = packets.write4ByteTxRx(port, 3, GOAL, 5000)
    assert (result, error) == (sdk.COMM_SUCCESS, 6)
    ok(*packets.write2ByteTxRx(port, 3, table.POSITION_P_GAIN.address, 800))


def test_reg_write_and_action(served: Served) -> None:
    packets, port = served.packets, served.port
    before, _, _ = packets.read4ByteTxRx(port, 2, GOAL)
    wanted = home_counts()[2] + 3
    ok(*packets.regWriteTxRx(port, 2, GOAL, 4, list(wanted.to_bytes(4, "little"))))
    assert packets.read4ByteTxRx(port, 2, GOAL)[0] == before
    assert packets.action(port, sdk.BROADCAST_ID) == sdk.COMM_SUCCESS
    assert packets.read4ByteTxRx(port, 2, GOAL)[0] == wanted


@pytest.mark.parametrize("fast", [False, True])
def test_group_sync_read(served: Served, fast: bool) -> None:
    group = sdk.GroupSyncRead(served.port, served.packets, POSITION, 4)
    for i in IDS:
        assert group.addParam(i)
    ok(group.fastSyncRead() if fast else group.txRxPacket())
    for i in IDS:
        assert group.isAvailable(i, POSITION, 4)
        assert group.getData(i, POSITION, 4) == served.packets.read4ByteTxRx(served.port, i, POSITION)[0]


def test_group_sync_write(served: Served) -> None:
    group = sdk.GroupSyncWrite(served.port, served.packets, GOAL, 4)
    wanted = {i: count + 1 for i, count in home_counts().items()}
    for i, count in wanted.items():
        assert group.addParam(i, count.to_bytes(4, "little"))
    ok(group.txPacket())
    assert {i: served.packets.read4ByteTxRx(served.port, i, GOAL)[0] for i in IDS} == wanted


@pytest.mark.parametrize("fast", [False, True])
def test_group_bulk_read(served: Served, fast: bool) -> None:
    # The SDK looks for an id among all bytes of the request: in a fast read no address or length may equal an id.
    group = sdk.GroupBulkRead(served.port, served.packets)
    assert group.addParam(BOARD, 128, 34)
    for i in IDS:
        assert group.addParam(i, 126, 10)
    ok(group.fastBulkRead() if fast else group.txRxPacket())
    assert abs(group.getData(BOARD, 161, 1) - 120) <= 1
    for i in IDS:
        assert group.getData(i, POSITION, 4) == served.packets.read4ByteTxRx(served.port, i, POSITION)[0]


def test_group_bulk_write(served: Served) -> None:
    group = sdk.GroupBulkWrite(served.port, served.packets)
    assert group.addParam(1, table.LED.address, 1, [1])
    assert group.addParam(4, table.POSITION_P_GAIN.address, 2, list((700).to_bytes(2, "little")))
    ok(group.txPacket())
    assert served.packets.read1ByteTxRx(served.port, 1, table.LED.address)[0] == 1
    assert served.packets.read2ByteTxRx(served.port, 4, table.POSITION_P_GAIN.address)[0] == 700
    ok(*served.packets.write2ByteTxRx(served.port, 4, table.POSITION_P_GAIN.address, 800))


def test_stuffed_answers_are_read(served: Served) -> None:
    packets, port = served.packets, served.port
    ok(*packets.write1ByteTxRx(port, 7, table.OPERATING_MODE.address, 4))
    # past the SDK: what it sends itself, it does not stuff
    port.writePort(encode(7, Instruction.WRITE, GOAL.to_bytes(2, "little") + b"\xff\xff\xfd\xff"))
    port.setPacketTimeout(20)
    assert packets.rxPacket(port, False)[1] == sdk.COMM_SUCCESS
    assert packets.read4ByteTxRx(port, 7, GOAL) == (0xFFFDFFFF, 0, 0)
    ok(*packets.write1ByteTxRx(port, 7, table.OPERATING_MODE.address, 3))


def test_reboot(served: Served) -> None:
    packets, port = served.packets, served.port
    ok(*packets.write1ByteTxRx(port, 9, table.LED.address, 1))
    ok(*packets.reboot(port, 9))
    assert packets.ping(port, 9)[1] == sdk.COMM_RX_TIMEOUT
    for _ in range(20):
        if packets.ping(port, 9)[1] == sdk.COMM_SUCCESS:
            break
    assert packets.read1ByteTxRx(port, 9, table.LED.address) == (0, 0, 0)


def test_an_alert_reaches_the_sdk(served: Served) -> None:
    assert served.packets.ping(served.port, 6)[1:] == (sdk.COMM_SUCCESS, 0x80)
    address = table.HARDWARE_ERROR_STATUS.address
    assert served.packets.read1ByteTxRx(served.port, 6, address) == (0x20, 0, 0x80)


def test_at_the_wrong_rate_nobody_answers_and_at_the_right_one_again(served: Served) -> None:
    assert served.port.setBaudRate(57600)
    assert served.packets.ping(served.port, 1)[1] == sdk.COMM_RX_TIMEOUT
    assert served.port.setBaudRate(SPEC.config.bus.baud)
    ok(served.packets.ping(served.port, 1)[1])
