"""Talking to the virtual robot in tests: over its in-process transport, or to devices without a body."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from wildrobot.core.config import from_dict
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import Register
from wildrobot.firmware_bridge.bus.protocol import BROADCAST_ID, Instruction, Packet, Parser, encode
from wildrobot.firmware_bridge.virtual.device import VirtualDevice
from wildrobot.firmware_bridge.virtual.faults.kinds import Fault
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.firmware_bridge.virtual.servo import Servo, ServoOptions
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport
from wildrobot.firmware_bridge.virtual.wire import DeviceStation, Wire
from wildrobot.robot_description import load_robot
from wildrobot.robot_description.spec import ServoModel

SPEC = load_robot()
MS = 1_000_000
BOARD = SPEC.config.bus.sensor_board_id


def u16(value: int) -> bytes:
    return value.to_bytes(2, "little")


def servo(
    device: int = 1,
    firmware: int = 48,
    model: str = "XM430-W350-T",
    options: ServoOptions | None = None,
    **eeprom: int,
) -> Servo:
    """One servo at 1 Mbps, return delay 0."""
    figures = from_dict(ServoModel, SPEC.config.servo_models[model])
    settings = {"id": device, "baud_rate": 3, "return_delay_time": 0} | eeprom
    return Servo(figures, dataclasses.replace(options or ServoOptions(), firmware=firmware, eeprom=settings))


class Bench:
    """Devices without a body on a wire: time passes only when asked; the servos' control loops run at 1 kHz."""

    def __init__(self, *devices: VirtualDevice, baud: int = 1_000_000, latency_timer_ms: float = 0.0) -> None:
        self.devices = devices
        self.wire = Wire([DeviceStation(device) for device in devices], baud, 0, latency_timer_ms)
        self.now = 0
        self.last_end = 0
        self.angle = {id(device): 0.0 for device in devices}
        self.supply_v = 12.0
        self._step = MS

    def run(self, until_ns: int) -> None:
        """Let time pass."""
        while True:
            wire = self.wire.next_ns()
            if wire is not None and wire < self._step:
                if wire > until_ns:
                    break
                self.wire.run_next()
                self.last_end = wire
            else:
                if self._step > until_ns:
                    break
                for device in self.devices:
                    if isinstance(device, Servo):
                        device.control(self.angle[id(device)], 0.0, self.supply_v, self._step)
                self._step += MS
        self.now = max(self.now, until_ns)

    def send(self, data: bytes, wait_ms: float = 20.0) -> bytes:
        """Bytes out, and what came back within the time."""
        self.wire.host_write(data, self.now)
        self.run(self.now + round(wait_ms * MS))
        return self.wire.adapter.take(self.now)

    def ask(
        self, device: int, instruction: int, parameters: bytes = b"", wait_ms: float = 20.0
    ) -> list[Packet]:
        """Statuses that answer an instruction."""
        return Parser().feed(self.send(encode(device, instruction, parameters), wait_ms))

    def read(self, device: int, register: Register) -> int:
        """Value of a register, over the wire."""
        (status,) = self.ask(device, Instruction.READ, u16(register.address) + u16(register.size))
        assert status.error & 0x7F == 0, status
        return register.decode(status.parameters)

    def write(self, device: int, register: Register, value: int) -> int:
        """Write a register; returns ERR."""
        (status,) = self.ask(device, Instruction.WRITE, u16(register.address) + register.encode(value))
        return status.error


class Host:
    """A host on the in-process transport of a whole virtual robot."""

    def __init__(self, robot: VirtualRobot) -> None:
        self.robot, self.port = robot, VirtualTransport(robot)

    def ask(
        self, device: int, instruction: int, parameters: bytes = b"", timeout_s: float = 0.01
    ) -> list[Packet]:
        """Statuses until the line has been quiet for the time."""
        self.port.discard_input()
        self.port.write(encode(device, instruction, parameters))
        parser, found = Parser(), []
        while data := self.port.read(timeout_s):
            found += parser.feed(data)
        return found

    def read(self, device: int, register: Register) -> int:
        (status,) = self.ask(device, Instruction.READ, u16(register.address) + u16(register.size))
        return register.decode(status.parameters)

    def write(self, device: int, register: Register, value: int) -> int:
        (status,) = self.ask(device, Instruction.WRITE, u16(register.address) + register.encode(value))
        return status.error

    def sync_write(self, register: Register, values: dict[int, int]) -> None:
        body = b"".join(bytes((device,)) + register.encode(value) for device, value in values.items())
        head = u16(register.address) + u16(register.size)
        self.port.write(encode(BROADCAST_ID, Instruction.SYNC_WRITE, head + body))

    def stand(self) -> dict[int, int]:
        """Torque on, goals at home; returns the goals."""
        goals = home_counts()
        self.sync_write(table.TORQUE_ENABLE, dict.fromkeys(SPEC.servo_ids, 1))
        self.sync_write(table.GOAL_POSITION, goals)
        return goals


def home_counts() -> dict[int, int]:
    """Goal counts of the home pose by servo id."""
    unit = SPEC.servos[0].position_rad_per_count
    angles = SPEC.joint_direction * (SPEC.default_joint_pos - SPEC.joint_offset)
    return {i: table.CENTRE_COUNT + round(a / unit) for i, a in zip(SPEC.servo_ids, angles, strict=True)}


def sync_read(
    instruction: int, address: int, size: int, devices: Sequence[int] = SPEC.servo_ids
) -> tuple[int, int, bytes]:
    """Arguments of `ask` for a sync or fast sync read."""
    return BROADCAST_ID, instruction, u16(address) + u16(size) + bytes(devices)


def bulk(*blocks: tuple[int, int, int]) -> bytes:
    """Parameters of a bulk read: (id, address, size)."""
    return b"".join(bytes((device,)) + u16(address) + u16(size) for device, address, size in blocks)


def host_with(*faults: Fault, suspended: bool = False) -> Host:
    return Host(VirtualRobot(SPEC, faults=faults, suspended=suspended))


def who(host: Host) -> list[int]:
    """Ids that answer a sync read in their order, then the board."""
    found = [status.device for status in host.ask(*sync_read(Instruction.SYNC_READ, 132, 4))]
    return found + [status.device for status in host.ask(BOARD, Instruction.PING)]
