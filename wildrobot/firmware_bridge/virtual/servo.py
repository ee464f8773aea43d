"""A virtual XM430: its control table and what writing it means. Source: ROBOTIS e-Manual, XM430-W350.

Where the manual leaves something open: a write is all or nothing; torque cannot be switched on after a shutdown (Result
Fail); indirect addresses are locked while the torque is on; indirect data that name a part of a register's bytes show
that part (`ServoOptions.whole_items` is the other reading of the manual's note), and to write them is a short write
(Data Length); another protocol holds from the next power-on; a servo whose torque comes on by its startup configuration
or by a goal holds and moves as any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus import protocol1
from wildrobot.firmware_bridge.bus.control_table import (
    FAST_READ_FIRMWARE,
    INDIRECT_ADDRESSES,
    HardwareError,
    OperatingMode,
    Register,
)
from wildrobot.firmware_bridge.bus.protocol import MAX_ID, Error, Instruction, Packet
from wildrobot.firmware_bridge.virtual.device import Reply, VirtualDevice
from wildrobot.firmware_bridge.virtual.motor import Motor
from wildrobot.firmware_bridge.virtual.registers import (
    BACKED_UP,
    DRIVE_MODE_BITS,
    FACTORY,
    GOALS,
    LIMITED_BY,
    MODE_RESETS,
    OPERATING_MODES,
    POWER_ON,
    RegisterFile,
)
from wildrobot.robot_description.spec import ServoModel

BOOT_NS = 200_000_000
"""Silence after power-on and reboot."""
BROWN_OUT_V = 6.5
"""Supply below which the servo's processor resets."""
_CLEAR_POSITION = b"\x01DXL\x22"
_BACKUP, _RESTORE = b"\x01CTRL", b"\x02CTRL"
_REVERSE, _TIME_BASED, _TORQUE_BY_GOAL = 0x01, 0x04, 0x08
_STARTUP_TORQUE, _STARTUP_RAM = 0x01, 0x02
_HOMING_MOST = 1024
_HEALTH_PERIOD_NS = 16_000_000
_NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class ServoOptions:
    """How a servo left the hands of whoever set it up."""

    firmware: int = 48
    eeprom: Mapping[str, int] | None = None
    """Registers that differ from the factory's, by name; of those from 64 on until the next power-on."""
    crc_status: bool = False
    """It answers a request to it whose CRC is wrong by error 3; else it is silent. The manual lists the error, and not
    which firmware gives it."""
    strict_addresses: bool = False
    """A read that touches an address which the table does not define is an Access error, as the manual says; else those
    read 0."""
    whole_items: bool = False
    """Indirect data show a value of more than 2 bytes only where all its bytes are named in a row (one reading of the
    manual's note on indirect addresses); else 0."""


class Servo(VirtualDevice):
    """One servo: answers on the bus, drives its motor. Voltages in V, angles in rad at the horn."""

    def __init__(self, model: ServoModel, options: ServoOptions, velocity_window_ms: int = 5) -> None:
        super().__init__()
        self.model, self._firmware, self.options = model, options.firmware, options
        self.motor = Motor(model, velocity_window_ms)
        self.registers = RegisterFile(options.firmware, options.strict_addresses, options.whole_items)
        self.get, self._table, self._has = self.registers.get, self.registers.bytes, self.registers.has
        self._drive_mode_bits = max(
            bits for first, bits in DRIVE_MODE_BITS.items() if first <= options.firmware
        )
        self._pending: tuple[int, bytes] | None = None
        self._backup: dict[Register, int] = {}
        self._secondary = False
        self._powered = True
        self._awake_ns = 0
        self._booted_ns = 0
        self._watchdog_since_ns = 0
        self._health_ns = 0
        self._factory_reset(keep_id=False, keep_baud=False)
        self._given = {table.BY_NAME[name]: value for name, value in (options.eeprom or {}).items()}
        for register, value in self._given.items():
            self.put(register, value)
        self.restart()

    # ------------------------------------------------------------------ the table

    def put(self, register: Register, value: int) -> None:
        """Set a value past all checks: what the servo itself or a fault does."""
        self.registers.put(register, value)

    def leave(self, register: Register, value: int) -> None:
        """Set a value past all checks, and obey it: what another program left."""
        self.put(register, value)
        self._configure_motor()

    def restart(self) -> None:
        """As it stands when time begins: switched on a while ago, and set up."""
        self._power_on(0)
        self._awake_ns = 0
        for register, value in self._given.items():
            if register.address >= table.EEPROM_END:
                self.put(register, value)
        self._configure_motor()

    def set_baud(self, baud: int) -> None:
        """Set up for another rate, by somebody else's hands."""
        codes = {rate: code for code, rate in table.BAUD_RATES.items()}
        self.put(table.BAUD_RATE, codes[baud])
        self._baud = baud

    def _factory_reset(self, keep_id: bool, keep_baud: bool) -> None:
        kept = [table.ID] * keep_id + [table.BAUD_RATE] * keep_baud
        values = {register: self.get(register) for register in kept}
        self._table[: table.EEPROM_END] = bytes(table.EEPROM_END)
        for register, value in (FACTORY | values).items():
            self.put(register, value)
        self.put(table.MODEL_NUMBER, self.model.model_number)
        self.put(table.FIRMWARE_VERSION, self._firmware)

    def _power_on(self, now_ns: int) -> None:
        self._table[table.EEPROM_END :] = bytes(table.SIZE - table.EEPROM_END)
        for register, value in POWER_ON.items():
            self.put(register, value)
        startup = self.get(table.STARTUP_CONFIGURATION) if self._has(table.STARTUP_CONFIGURATION) else 0
        if startup & _STARTUP_RAM:
            self._restore_ram()
        if self._backup:
            self.put(table.BACKUP_READY, 1)
        self._default_goals()
        self._pending = None
        self._chain = self._fast = None
        self._awake_ns = now_ns + BOOT_NS
        self._booted_ns = now_ns
        self._baud = table.BAUD_RATES[self.get(table.BAUD_RATE)]
        self._protocol_1 = self.get(table.PROTOCOL_TYPE) == protocol1.CODE
        self.motor.power_on(reverse=bool(self._drive_mode() & _REVERSE), homing=self._homing())
        self.put(table.GOAL_POSITION, self.motor.count)
        self.put(table.TORQUE_ENABLE, startup & _STARTUP_TORQUE)
        self._configure_motor()

    def _restore_ram(self) -> None:
        for register, value in self._backup.items():
            if register.address >= table.EEPROM_END:
                self.put(register, value)

    def _drive_mode(self) -> int:
        """Bits of the drive mode that this firmware knows."""
        return self.get(table.DRIVE_MODE) & self._drive_mode_bits

    def _default_goals(self) -> None:
        # In the modes that follow them these are targets and begin at rest; in the others they are limits.
        mode = self._mode()
        self.put(table.GOAL_PWM, 0 if mode == OperatingMode.PWM else self.get(table.PWM_LIMIT))
        self.put(table.GOAL_CURRENT, 0 if mode == OperatingMode.CURRENT else self.get(table.CURRENT_LIMIT))
        self.put(table.GOAL_VELOCITY, 0)

    def _homing(self) -> int:
        offset = self.get(table.HOMING_OFFSET)
        # an offset beyond a quarter of a turn is ignored in this mode, not bounded
        return 0 if self._mode() == OperatingMode.POSITION and abs(offset) > _HOMING_MOST else offset

    def _mode(self) -> int:
        return self.get(table.OPERATING_MODE)

    def _configure_motor(self) -> None:
        """Hand the motor what its control loop needs of the table."""
        motor = self.motor
        motor.mode = OperatingMode(self._mode())
        motor.torque_on = bool(self.get(table.TORQUE_ENABLE))
        motor.p_gain = self.get(table.POSITION_P_GAIN) / table.P_GAIN_UNIT
        motor.velocity_p_gain = self.get(table.VELOCITY_P_GAIN) / table.P_GAIN_UNIT
        motor.pwm_limit = self.get(table.PWM_LIMIT)
        motor.goal_pwm = self.get(table.GOAL_PWM)
        motor.goal_current_a = self.get(table.GOAL_CURRENT) * self.model.current_a_per_count
        motor.goal_velocity_rad_s = self.get(table.GOAL_VELOCITY) * self.model.velocity_rad_s_per_count
        motor.goal_count = self.get(table.GOAL_POSITION)
        motor.set_profile(
            self.get(table.PROFILE_VELOCITY),
            self.get(table.PROFILE_ACCELERATION),
            bool(self._drive_mode() & _TIME_BASED),
        )

    # ------------------------------------------------------------------ as a device

    @property
    def id(self) -> int:
        return self._table[table.ID.address]

    @property
    def baud(self) -> int:
        return self._baud

    @property
    def return_delay_ns(self) -> int:
        return self._table[table.RETURN_DELAY_TIME.address] * 2000

    @property
    def status_return_level(self) -> int:
        return self._table[table.STATUS_RETURN_LEVEL.address]

    @property
    def secondary_id(self) -> int | None:
        value = self._table[table.SECONDARY_ID.address]
        return value if value <= MAX_ID else None

    @property
    def answers_broken(self) -> bool:
        return self.options.crc_status

    def _as_one_of_a_group(self, packet: Packet, end_ns: int) -> None:
        self._secondary = True
        super()._as_one_of_a_group(packet, end_ns)
        self._secondary = False

    @property
    def alert(self) -> bool:
        return self._table[table.HARDWARE_ERROR_STATUS.address] != 0

    @property
    def knows_fast_reads(self) -> bool:
        return self._firmware >= FAST_READ_FIRMWARE

    @property
    def torque_on(self) -> bool:
        """The motor is driven."""
        return self._table[table.TORQUE_ENABLE.address] != 0

    def awake(self, now_ns: int) -> bool:
        return self._powered and now_ns >= self._awake_ns

    def hear(self, packet: Packet, end_ns: int) -> Reply | None:
        if self._protocol_1:
            return None
        return super().hear(packet, end_ns)

    def hear_protocol_1(self, data: bytes, end_ns: int) -> Reply | None:
        """Ping, read and write; addresses have one byte there."""
        request = protocol1.find1(data) if self._protocol_1 else None
        if request is None or request.device != self.id or not self.awake(end_ns):
            return None
        content, error = b"", 0
        match request.kind, request.parameters:
            case protocol1.PING, b"":
                pass
            case protocol1.READ, parameters if len(parameters) == 2:
                error, content = self.read(parameters[0], parameters[1], end_ns)
            case protocol1.WRITE, parameters if len(parameters) > 1:
                error = self.write(parameters[0], parameters[1:], end_ns)
            case _:
                error = protocol1.INSTRUCTION_ERROR
        return self._reply(protocol1.encode1(self.id, error, content), end_ns)

    def identity(self) -> bytes:
        return bytes((*self._table[0:2], self._table[table.FIRMWARE_VERSION.address]))

    def read(self, address: int, size: int, now_ns: int) -> tuple[int, bytes]:
        if error := self.registers.readable(address, size):
            return error, b""
        if address + size > table.EEPROM_END:
            self._refresh(now_ns)
        return Error.NONE, self.registers.read(address, size)

    def write(self, address: int, data: bytes, now_ns: int) -> int:
        values, error = self._plan(address, data)
        if error == Error.NONE:
            for register, value in values.items():
                self._commit(register, value, now_ns)
        return error

    def reg_write(self, address: int, data: bytes, now_ns: int) -> int:
        _, error = self._plan(address, data)
        if error == Error.NONE:
            self._pending = (address, data)
            self.put(table.REGISTERED_INSTRUCTION, 1)
        return error

    def action(self, now_ns: int) -> int:
        if self._pending is None:
            return Error.INSTRUCTION
        (address, data), self._pending = self._pending, None
        self.put(table.REGISTERED_INSTRUCTION, 0)
        return self.write(address, data, now_ns)

    def command(self, instruction: int, parameters: bytes, broadcast: bool, now_ns: int) -> int:
        if instruction == Instruction.CLEAR:
            if parameters != _CLEAR_POSITION:
                return Error.DATA_RANGE
            if self.motor.moving(self.get(table.MOVING_THRESHOLD)):
                return Error.RESULT_FAIL
            self.motor.clear_turns()
            self.put(table.GOAL_POSITION, self.motor.count)
            self._configure_motor()
            return Error.NONE
        if instruction == Instruction.CONTROL_TABLE_BACKUP:
            return self._back_up(parameters, now_ns)
        if instruction == Instruction.FACTORY_RESET:
            if len(parameters) != 1:
                return Error.DATA_LENGTH
            if parameters[0] not in (0x01, 0x02, 0xFF):
                return Error.DATA_RANGE
            if self.torque_on or (broadcast and parameters[0] == 0xFF):
                return Error.ACCESS  # and a broadcast must not give all devices one id
            self._factory_reset(keep_id=parameters[0] != 0xFF, keep_baud=parameters[0] == 0x02)
        self._power_on(now_ns)
        return Error.NONE

    def _back_up(self, parameters: bytes, now_ns: int) -> int:
        if not self._has(table.BACKUP_READY):
            return Error.INSTRUCTION
        if parameters not in (_BACKUP, _RESTORE):
            return Error.DATA_RANGE
        if self.torque_on or (parameters == _RESTORE and not self._backup):
            return Error.RESULT_FAIL
        if parameters == _BACKUP:
            self._backup = {register: self.get(register) for register in BACKED_UP}
            self.put(table.BACKUP_READY, 1)
            return Error.NONE
        for register, value in self._backup.items():
            if register.address < table.EEPROM_END:
                self.put(register, value)
        self._power_on(now_ns)
        return Error.NONE

    # ------------------------------------------------------------------ writing

    def _plan(self, address: int, data: bytes) -> tuple[dict[Register, int], int]:
        """New values of the registers that a write touches, and the first error."""
        values, error = self.registers.values_of(address, data)
        if error:
            return {}, error
        for register, value in values.items():
            if error := self._check(register, value):
                return {}, error
        return values, Error.NONE

    def _check(self, register: Register, value: int) -> int:
        # the secondary id reaches the RAM only
        if register.address < table.EEPROM_END and self._secondary:
            return Error.ACCESS
        locked = register.address < table.EEPROM_END or register in INDIRECT_ADDRESSES
        if locked and self.torque_on:
            return Error.ACCESS
        low, high = register.limits or (value, value)
        if register == table.DRIVE_MODE and value & ~self._drive_mode_bits:
            return Error.DATA_RANGE
        if not low <= value <= high or (register == table.OPERATING_MODE and value not in OPERATING_MODES):
            return Error.DATA_RANGE
        tripped = self.get(table.BUS_WATCHDOG) == -1
        if tripped and (register in GOALS or (register == table.BUS_WATCHDOG and value)):
            return Error.DATA_RANGE
        if register in LIMITED_BY and abs(value) > self.get(LIMITED_BY[register]):
            return Error.DATA_LIMIT
        if register == table.GOAL_POSITION and self._mode() == OperatingMode.POSITION:
            low, high = self.get(table.MIN_POSITION_LIMIT), self.get(table.MAX_POSITION_LIMIT)
            if not low <= value <= high:
                return Error.DATA_LIMIT
        if register == table.TORQUE_ENABLE and value and self._shut_down():
            return Error.RESULT_FAIL
        return Error.NONE

    def _shut_down(self) -> bool:
        """It has let go because of a hardware error, until a reboot."""
        return bool(self.get(table.HARDWARE_ERROR_STATUS) & self.get(table.SHUTDOWN))

    def _commit(self, register: Register, value: int, now_ns: int) -> None:
        was_on = self.torque_on
        self.put(register, value)
        if register == table.TORQUE_ENABLE and value and not was_on:
            self._forget_turns()
            self._hold()
            self._watchdog_since_ns = now_ns
        elif self._wakes(register) and not was_on:
            goal = self.get(register)
            self.put(table.TORQUE_ENABLE, 1)
            self._forget_turns()
            self._hold()
            self.put(register, goal)
            self._watchdog_since_ns = now_ns
        elif register == table.BUS_WATCHDOG:
            self._watchdog_since_ns = now_ns
        elif register == table.BAUD_RATE:
            self._baud = table.BAUD_RATES[value]
        elif register in (table.DRIVE_MODE, table.HOMING_OFFSET, table.OPERATING_MODE):
            self.motor.frame(reverse=bool(self._drive_mode() & _REVERSE), homing=self._homing())
            if register == table.OPERATING_MODE:
                self._forget_turns()
            self.put(table.GOAL_POSITION, self.motor.count)
            self._default_goals()
            if register == table.OPERATING_MODE:
                for reset in MODE_RESETS:
                    self.put(reset, reset.initial or 0)
        self._configure_motor()

    def _forget_turns(self) -> None:
        """In position mode the servo knows one turn only, once its torque comes on or the mode is chosen."""
        if self._mode() == OperatingMode.POSITION and self.motor.beyond_a_turn:
            self.motor.clear_turns()

    def _wakes(self, register: Register) -> bool:
        """Writing it switches the torque on."""
        return register in GOALS and bool(self._drive_mode() & _TORQUE_BY_GOAL) and not self._shut_down()

    def _hold(self) -> None:
        """Goal := present position."""
        self.motor.hold()
        self.put(table.GOAL_POSITION, self.motor.count)

    # ------------------------------------------------------------------ what happens by itself

    def control(self, angle_rad: float, speed_rad_s: float, supply_v: float, now_ns: int) -> float:
        """One millisecond of the servo's own control loop; returns the duty, -1 to 1."""
        if supply_v < BROWN_OUT_V:
            self._powered = False
        elif not self._powered:
            self._powered = True
            self.motor.observe(angle_rad)
            self._power_on(now_ns)
        if not self.awake(now_ns):
            self.motor.coast(angle_rad, speed_rad_s, supply_v)
            return 0.0
        if self.torque_on:
            limit = self._table[table.BUS_WATCHDOG.address]
            quiet_ns = now_ns - max(self.last_instruction_ns, self._watchdog_since_ns)
            if 0 < limit < 128 and quiet_ns > limit * 20 * _NS_PER_MS:
                self.put(table.BUS_WATCHDOG, -1)
                self._stop()
        duty = self.motor.control(angle_rad, speed_rad_s, supply_v)
        if now_ns >= self._health_ns:
            self._health_ns = now_ns + _HEALTH_PERIOD_NS
            self._check_health(supply_v)
        return duty

    def _stop(self) -> None:
        self._hold()
        # a stop that the watchdog makes follows no profile
        self.put(table.PROFILE_VELOCITY, 0)
        self.put(table.PROFILE_ACCELERATION, 0)
        self.put(table.GOAL_VELOCITY, 0)
        if self._mode() in (OperatingMode.PWM, OperatingMode.CURRENT):
            self.put(table.GOAL_PWM, 0)
            self.put(table.GOAL_CURRENT, 0)
        self._configure_motor()

    def _check_health(self, supply_v: float) -> None:
        found = 0
        voltage = supply_v / table.VOLTAGE_V
        if not self.get(table.MIN_VOLTAGE_LIMIT) <= round(voltage) <= self.get(table.MAX_VOLTAGE_LIMIT):
            found |= HardwareError.INPUT_VOLTAGE
        if round(self.motor.temperature_c) > self.get(table.TEMPERATURE_LIMIT):
            found |= HardwareError.OVERHEATING
        if self.motor.overloaded:
            found |= HardwareError.OVERLOAD
        if found:
            self.fail(HardwareError(found))

    def fail(self, error: HardwareError) -> None:
        """Report a hardware error, and let go if the SHUTDOWN register says so; only a reboot takes it back."""
        self.put(table.HARDWARE_ERROR_STATUS, self.get(table.HARDWARE_ERROR_STATUS) | int(error))
        if error & self.get(table.SHUTDOWN):
            self.put(table.TORQUE_ENABLE, 0)
            self._configure_motor()

    def _refresh(self, now_ns: int) -> None:
        """Bring the registers of the present up to date."""
        motor, put = self.motor, self.put
        put(table.REALTIME_TICK, (now_ns - self._booted_ns) // _NS_PER_MS % table.REALTIME_TICK_PERIOD)
        put(table.MOVING, int(motor.moving(self.get(table.MOVING_THRESHOLD))))
        put(table.MOVING_STATUS, motor.moving_status)
        put(table.PRESENT_PWM, round(motor.duty * table.FULL_PWM))
        put(table.PRESENT_CURRENT, round(motor.current_a / self.model.current_a_per_count))
        put(table.PRESENT_VELOCITY, motor.velocity_count)
        put(table.PRESENT_POSITION, motor.count)
        put(table.VELOCITY_TRAJECTORY, motor.trajectory_velocity_count)
        put(table.POSITION_TRAJECTORY, round(motor.trajectory))
        put(table.PRESENT_INPUT_VOLTAGE, max(0, round(motor.supply_v / table.VOLTAGE_V)))
        put(table.PRESENT_TEMPERATURE, max(0, min(255, round(motor.temperature_c))))
