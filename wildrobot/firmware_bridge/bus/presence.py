"""Who is on the bus, and who is where he should not be: other ids, other speeds, two with one id."""

from __future__ import annotations

from dataclasses import dataclass

from wildrobot.firmware_bridge.board.driver import MODEL_NUMBER
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.driver import Bus, FoundDevice
from wildrobot.firmware_bridge.bus.protocol import Instruction, Parser, encode
from wildrobot.firmware_bridge.bus.protocol1 import PING, encode1, find1
from wildrobot.firmware_bridge.bus.serial_transport import latency_timer_ms
from wildrobot.firmware_bridge.bus.transport import Transport
from wildrobot.robot_description import RobotSpec

BAUDS = tuple(sorted(table.BAUD_RATES.values()))
"""Bits per second that a servo may have been set to."""
FACTORY_ID = 1
_NAMES = {1020: "XM430-W350", 1030: "XM430-W210", MODEL_NUMBER: "sensor board"}
_LISTEN_S = 0.004

_USB_S = 0.002
_UNKNOWN_ADAPTER_S = 0.01


def patient_bus(transport: Transport) -> Bus:
    """A bus that waits for answers as long as the port's adapter may keep them; for scans, where the loop's 2 ms miss
    devices behind a slow adapter."""
    port = getattr(transport, "port", None)
    latency_ms = latency_timer_ms(port) if port is not None else 0
    return Bus(transport, _UNKNOWN_ADAPTER_S if latency_ms is None else _USB_S + latency_ms * 1e-3)


def set_speed(transport: Transport, baud: int) -> bool:
    """Talk at `baud` from now on; False: the adapter's driver cannot, and nobody can be asked there."""
    try:
        transport.baud = baud
    except ValueError:  # of pyserial, for a rate that the driver refuses
        return False
    return True


def model_name(number: int) -> str:
    """What a model number stands for."""
    return _NAMES.get(number, f"model {number}")


def answers_garbled(bus: Bus, device: int, tries: int = 3) -> bool:
    """Whether a read of this id brings bytes that are no packet, every time: two devices that answer at once.

    A read of the position, not a ping: two servos of one kind answer a ping alike, and nothing shows.
    """
    position = table.PRESENT_POSITION
    packet = encode(
        device, Instruction.READ, position.address.to_bytes(2, "little") + position.size.to_bytes(2, "little")
    )
    wait_s = max(_LISTEN_S, bus.margin_s)
    for _ in range(tries):
        heard = bus.listen(packet, wait_s)
        if not heard or any(
            status.device == device and status.instruction == Instruction.STATUS
            for status in Parser().feed(heard)
        ):
            return False
    return True


def speaks_protocol_1(bus: Bus, device: int) -> bool:
    """Whether a servo of this id answers a ping of Protocol 1.0 at the bus's speed."""
    answer = find1(bus.listen(encode1(device, PING), max(_LISTEN_S, bus.margin_s)))
    return answer is not None and answer.device == device


@dataclass(frozen=True)
class Stranger:
    """A device that answers where it was not looked for."""

    device: FoundDevice
    baud: int

    def __str__(self) -> str:
        return f"{model_name(self.device.model_number)} with id {self.device.id} at {self.baud} bit/s"


def look_elsewhere(bus: Bus, spec: RobotSpec, lacking: list[int]) -> list[Stranger]:
    """Servos that are not of the description: all ids at the bus's speed, and `lacking` ids at the others.

    The bus's speed is set back.
    """
    known = {*spec.servo_ids, spec.config.bus.sensor_board_id}
    home = bus.transport.baud
    found = [Stranger(device, home) for device in bus.scan() if device.id not in known]
    try:
        for baud in BAUDS:
            if baud == home:
                continue
            if not set_speed(bus.transport, baud):
                continue
            ids = sorted({*lacking, FACTORY_ID})
            found += [Stranger(device, baud) for device in bus.scan(ids)]
    finally:
        bus.transport.baud = home
    return found
