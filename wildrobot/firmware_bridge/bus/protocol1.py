"""As much of Dynamixel Protocol 1.0 as it takes to notice a servo that speaks it.

    instruction   FF FF | ID | LEN | INST | parameters | CHECKSUM
    status        FF FF | ID | LEN | ERR  | parameters | CHECKSUM

LEN counts what follows it; the checksum is the complement of the sum from ID on. Source: ROBOTIS e-Manual, "DYNAMIXEL
Protocol 1.0".
"""

from __future__ import annotations

from dataclasses import dataclass

PING, READ, WRITE = 0x01, 0x02, 0x03
CODE = 1
"""Register PROTOCOL_TYPE of a servo that speaks it from the next power-on."""
INSTRUCTION_ERROR = 0x40
_HEADER = b"\xff\xff"


@dataclass(frozen=True)
class Packet1:
    """One packet whose checksum is right; `kind` is its instruction, or of a status its error."""

    device: int
    kind: int
    parameters: bytes


def encode1(device: int, kind: int, parameters: bytes = b"") -> bytes:
    """Bytes of an instruction, or of a status with `kind` as its error."""
    body = bytes((device, len(parameters) + 2, kind)) + parameters
    return _HEADER + body + bytes((~sum(body) & 0xFF,))


def find1(data: bytes) -> Packet1 | None:
    """The first whole packet in `data`; a packet of Protocol 2.0 is none, for its header names id 253."""
    start = data.find(_HEADER)
    while start >= 0:
        rest = data[start + 2 :]
        if len(rest) >= 4 and rest[0] <= 0xFE and rest[0] != 0xFD and 2 <= rest[1] <= len(rest) - 2:
            end = rest[1] + 2
            body = rest[: end - 1]
            if ~sum(body) & 0xFF == rest[end - 1]:
                return Packet1(body[0], body[2], body[3:])
        start = data.find(_HEADER, start + 1)
    return None
