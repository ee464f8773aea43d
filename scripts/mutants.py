"""Every guard and every limiter of the runtime, each with the change that switches it off."""

from __future__ import annotations

from dataclasses import dataclass

RUNTIME = "wildrobot/runtime"
ROBOT = "wildrobot/robot_description/robot.yaml"
CONTROL, COMMANDS = f"{RUNTIME}/control", f"{RUNTIME}/commands/source.py"
GUARD, SAFETY = f"{CONTROL}/guards.py", f"{CONTROL}/safety.py"
MACHINE, CONTROLLER = f"{CONTROL}/state_machine.py", f"{CONTROL}/controller.py"
POLICY = "wildrobot/signal_path/policy.py"
LCM, GAMEPAD = f"{RUNTIME}/commands/lcm_command.py", f"{RUNTIME}/commands/gamepad/command.py"
LAYOUTS = f"{RUNTIME}/commands/gamepad/layouts.py"
STOPS, UDP = f"{RUNTIME}/commands/stops.py", "wildrobot/core/lcm_udp.py"
PROPERTIES = "tests/test_safety_properties.py"
SUPERVISOR = ("tests/test_guards.py", "tests/test_safety.py", PROPERTIES, "tests/test_fall.py")
STATES = ("tests/test_state_machine.py", PROPERTIES)
TICK = ("tests/test_controller.py", "tests/test_run.py", PROPERTIES)


@dataclass(frozen=True)
class Mutant:
    """`old` in `file`, where it stands once, becomes `new`; one of `tests` must then fail."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def level(name: str, warn: float, stop: float, off: str = ".inf") -> Mutant:
    """A guard whose stop level is out of reach."""
    line = f"  {name}: {{warn: {warn}, stop: "
    return Mutant(f"guard {name}", ROBOT, f"{line}{stop}}}", f"{line}{off}}}", SUPERVISOR)


MUTANTS = (
    # guards
    level("tilt_rad", 0.6, 1.0),
    level("falling_rad", 0.6, 0.9),
    level("tracking_error_rad", 0.4, 0.9),
    level("joint_limit_rad", 0.1, 0.25),
    level("joint_velocity_rad_s", 5.5, 9.0),
    level("current_a", 2.0, 2.3),
    level("temperature_c", 60.0, 75.0),
    level("voltage_low_v", 11.0, 10.2, "-.inf"),
    level("voltage_high_v", 13.0, 14.8),
    level("sample_age_s", 0.03, 0.12),
    level("quaternion_norm_error", 0.01, 0.05),
    level("missed_ticks_in_a_row", 1.0, 5.0),
    level("hardware_errors", 0.5, 0.5),
    level("policy_output_clips", 1.0, 5.0),
    Mutant("levels are not checked", GUARD, "        check_levels(spec)\n", "", SUPERVISOR),
    Mutant("fall: no debounce", GUARD, "self._above[name] >= DEBOUNCE_TICKS", "self._above[name] >= 1", SUPERVISOR),
    Mutant("fall: ten times the debounce", GUARD, "DEBOUNCE_TICKS = 5", "DEBOUNCE_TICKS = 50",
           ("tests/test_fall.py",)),
    Mutant("fall: upside down is upright", GUARD, "math.atan2(across, up[2])", "math.atan2(across, abs(up[2]))",
           SUPERVISOR),
    Mutant("fall: the IMU's mount is forgotten", GUARD, "torso @ quat_to_matrix(spec.imu_mount)", "torso", SUPERVISOR),
    Mutant("fall: the waist is forgotten", GUARD, "axes, strict=True))[::-1]", "axes, strict=True))[:0]", SUPERVISOR),
    Mutant("fall: not looked ahead", GUARD, "FALL_AHEAD_S = 0.25", "FALL_AHEAD_S = 0.0", ("tests/test_fall.py",)),
    Mutant("nothing stops at once", GUARD, "name in _IMMEDIATE or", "False or", SUPERVISOR),
    Mutant("low voltage is read upside down", GUARD, '_BELOW = ("voltage_low_v",)', "_BELOW = ()", SUPERVISOR),
    Mutant("no number is no worry", GUARD, 'else math.inf', 'else math.nan', SUPERVISOR),
    Mutant("a frozen IMU is fresh", GUARD, "        if not same:\n", "        if True:\n", SUPERVISOR),
    Mutant("a frozen frame is fresh", GUARD, "self._stalled_s += self._spec.control_dt", "pass", SUPERVISOR),
    Mutant("the future is fresh", GUARD, "_largest(abs(now - time) for", "_largest(now - time for", SUPERVISOR),
    Mutant("an endless current is unknown", GUARD, "if not math.isnan(value)]", "if math.isfinite(value)]",
           SUPERVISOR),
    # what the servos are given
    Mutant("no rate limit", SAFETY, "requested.clip(last - self._step, last + self._step)",
           "requested", SUPERVISOR),
    Mutant("no joint limits", SAFETY, "inside = target.clip(self._spec.joint_lower, self._spec.joint_upper)",
           "inside = target", SUPERVISOR),
    Mutant("no joint limits at the start", SAFETY,
           "self._next = np.clip(known, self._spec.joint_lower, self._spec.joint_upper)", "self._next = known",
           SUPERVISOR),
    Mutant("starts from what is no number", SAFETY, "np.where(np.isfinite(position), position, self.target)",
           "position", SUPERVISOR),
    Mutant("what is no number passes", SAFETY, "if not np.isfinite(requested).all():", "if False:", SUPERVISOR),
    Mutant("stale samples do not hold", SAFETY, "if self._guards.stale_ticks > COAST_TICKS and not blind:", "if False:",
           SUPERVISOR),
    Mutant("coasts for ever", SAFETY, "COAST_TICKS = 3", "COAST_TICKS = 300", (*TICK, "tests/test_safety.py")),
    Mutant("rate limited without a word", SAFETY, 'limited.append("target_rate")', "pass", SUPERVISOR),
    Mutant("range limited without a word", SAFETY, 'limited.append("joint_limits")', "pass", SUPERVISOR),
    Mutant("the servos get what was asked", SAFETY, "self._next = applied.target", "self._next = requested",
           SUPERVISOR),
    Mutant("a jump under torque", SAFETY, "self._let_go_first = self.stiffness > 0.0", "pass", SUPERVISOR),
    Mutant("the torque is always on", CONTROLLER, "safety.write(directive.stiffness)", "safety.write(1.0)", TICK),
    # states
    Mutant("ESTOP is not latched", MACHINE, "        if state is State.ESTOP:\n            return\n",
           "        if state is State.ESTOP:\n            if demand.stand:\n"
           "                self._enter(State.LIMP, measured)\n            return\n", STATES),
    Mutant("ESTOP is not heard", MACHINE, "if demand.estop:", "if False:", STATES),
    Mutant("ESTOP keeps the torque", MACHINE, "self._stiffness_at_entry * max(0.0, 1.0 - seconds / time.estop_release)",
           "self._stiffness_at_entry", STATES),
    Mutant("stands up unasked", MACHINE, "if demand.stand and not demand.stop and", "if not demand.stop and", STATES),
    Mutant("stands up against a stop", MACHINE, "if demand.stand and not demand.stop and",
           "if demand.stand and", STATES),
    Mutant("stands up before it was looked at", MACHINE, "    limp: float = 0.2", "    limp: float = 0.0", TICK),
    Mutant("stop is not heard", MACHINE, "        elif demand.stop:\n", "        elif False:\n", STATES),
    Mutant("a stop never ends", MACHINE, "self.seconds >= time.crouch + time.release:", "False:", STATES),
    Mutant("halts with a policy that is not trusted", MACHINE, "self._policy and not demand.distrust_policy",
           "self._policy", STATES),
    Mutant("goes on with a policy that is not trusted", MACHINE,
           "(demand.distrust_policy or self.seconds >= time.halt)", "(self.seconds >= time.halt)", STATES),
    Mutant("torque at once", MACHINE, "self._stiffness = min(1.0, seconds / time.torque_ramp)",
           "self._stiffness = 1.0", STATES),
    Mutant("lets go at once in a soft stop", MACHINE,
           "self._stiffness_at_entry * float(np.clip(1.0 - released, 0.0, 1.0))", "0.0", STATES),
    Mutant("stands up with a jump", MACHINE, "blend(self._start, self._home, seconds / time.stand_up)", "self._home",
           STATES),
    Mutant("a limp robot has torque", MACHINE, "self._pose, self._stiffness = np.array(measured), 0.0",
           "self._pose = np.array(measured)", STATES),
    # what the tick makes of it
    Mutant("a fall is not acted on", CONTROLLER, "estop=command.estop or fell", "estop=command.estop",
           ("tests/test_fall.py", "tests/test_run.py")),
    Mutant("a fall in the crouch is not acted on", CONTROLLER, "and not self.machine.releasing",
           "and state is not State.SOFT_STOP", ("tests/test_fall.py",)),
    Mutant("sinking down is a fall", CONTROLLER, "and not self.machine.releasing", "", ("tests/test_controller.py",)),
    Mutant("another policy takes over with a jump", CONTROLLER, "self._handover.begin(self.safety.target)", "pass",
           ("tests/test_skills.py",)),
    Mutant("a handover outlives its policy", CONTROLLER, "            self._handover.end()\n", "",
           ("tests/test_skills.py",)),
    Mutant("a guard is not acted on", CONTROLLER, "stop=command.stop or bool(faults)", "stop=command.stop", TICK),
    Mutant("stands up with a guard at its stop level", CONTROLLER, "stand = asked and not stopping and",
           "stand = asked and", TICK),
    Mutant("who asks too early is not heard", CONTROLLER, "asked and state is State.LIMP and not rested",
           "False", TICK),
    Mutant("guards never cost the policy its trust", CONTROLLER, "any(name in POLICY_UNTRUSTED for name in faults)",
           "False", TICK),
    Mutant("a sample that is no number is used", CONTROLLER, "drop_not_finite(self.robot.read(), self._frame)",
           "self.robot.read()", TICK),
    Mutant("the policy is asked about what is no number", CONTROLLER,
           "if not np.isfinite(observation).all():", "if False:", TICK),
    Mutant("the policy answers what is no number", CONTROLLER,
           "nothing.shape or not np.isfinite(action).all():", "nothing.shape:", TICK),
    Mutant("a policy that raises ends the program", CONTROLLER, "except Exception as error:",
           "except ZeroDivisionError as error:", TICK),
    Mutant("holds all through a soft stop", CONTROLLER, "blind=going_down", "blind=False", TICK),
    Mutant("missed ticks are not told", CONTROLLER, "0 if self.robot.lockstep else timer.missed_in_a_row", "0", TICK),
    Mutant("only one tick's misses count", f"{CONTROL}/timing.py", "self.missed_in_a_row + skipped if",
           "skipped if", TICK),
    Mutant("missed ticks are made up for", f"{CONTROL}/timing.py",
           "            self._deadline += skipped * self._period\n",
           "", ("tests/test_pace.py",)),
    # the person
    Mutant("an old command counts", COMMANDS, "COMMAND_TIMEOUT_NS = NS_PER_S // 2",
           "COMMAND_TIMEOUT_NS = NS_PER_S * 9",
           ("tests/test_lcm_command.py", "tests/test_run.py")),
    Mutant("a second Ctrl-C is the first once more", COMMANDS, "estop=command.estop or self.count > 1",
           "estop=command.estop", TICK),
    Mutant("Ctrl-C does nothing", COMMANDS, "        if self.count == 0:\n            return command\n",
           "        if True:\n            return command\n", TICK),
    Mutant("a command that is no number counts", LCM, "moves = held and _finite(self._latest)", "moves = held",
           ("tests/test_lcm_command.py",)),
    Mutant("a stop over the network is not heard", COMMANDS, "        if self._asked:\n", "        if False:\n",
           ("tests/test_stops.py",)),
    Mutant("an emergency stop over the network is a soft one", STOPS, "at_once=request != robot_stop_t.SOFT_STOP",
           "at_once=False", ("tests/test_stops.py",)),
    Mutant("a stop that cannot be read is nothing", STOPS,
           'source, request = "a message that cannot be read", robot_stop_t.ESTOP', "source, request = '', 1",
           ("tests/test_stops.py",)),
    Mutant("two may command at once", LCM, 'return None if self._holder == name else ("other_source", text)',
           "return None", ("tests/test_lcm_command.py",)),
    Mutant("commands may come late", LCM, "if not 0 <= age_ns <= COMMAND_TIMEOUT_NS:", "if False:",
           ("tests/test_lcm_command.py",)),
    Mutant("a log that is played drives", LCM, "if message.run_id != mine.run_id:", "if False:",
           ("tests/test_lcm_command.py",)),
    Mutant("commands for another robot count", LCM, "if message.robot_name != mine.robot_name:", "if False:",
           ("tests/test_lcm_command.py",)),
    Mutant("who floods keeps the wheel", LCM,
           "if self._holder == name:  # it does not keep the wheel", "if False:  # it does not keep the wheel",
           ("tests/test_command_floods.py",)),
    Mutant("the first messages of a flood take the wheel", LCM, "and self._others > CROWD:", "and False:",
           ("tests/test_command_floods.py",)),
    Mutant("where a message goes is the kernel's choice", UDP,
           "                self._socket.setsockopt(\n"
           "                    socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _mreqn(self._address.group, index)\n"
           "                )\n", "", ("tests/test_lcm_udp.py",)),
    Mutant("what comes in elsewhere is heard", UDP,
           "            self._socket.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)\n", "",
           ("tests/test_lcm_udp.py",)),
    Mutant("a flood takes the room of stops", UDP, "            _attach(self._socket, channel_filter(channels))\n", "",
           ("tests/test_lcm_udp.py",)),
    Mutant("the gamepad's deadman is not needed", GAMEPAD, "if not held or not self._armed:", "if not self._armed:",
           ("tests/test_gamepad.py",)),
    Mutant("a deadman taped down counts", GAMEPAD, "if not held or not self._armed:", "if not held:",
           ("tests/test_gamepad.py",)),
    Mutant("a stick that rests at its end counts", GAMEPAD, "if self._rest.unsure:", "if False:",
           ("tests/test_gamepad.py",)),
    Mutant("a gamepad that nobody knows is guessed", LAYOUTS,
           "return BTN_C not in device.keys or gapped", "return True", ("tests/test_gamepad_devices.py",)),
    Mutant("two sources that contradict each other on a gamepad are believed", LAYOUTS,
           "rules is not None and table.buttons != rules.buttons:", "False:", ("tests/test_gamepad_devices.py",)),
    # bus and files
    Mutant("two programs may drive one bus", "wildrobot/firmware_bridge/bus/serial_transport.py",
           "handler.ser.exclusive = True", "handler.ser.exclusive = False", ("tests/test_serial_transport.py",)),
    Mutant("the servos' watchdogs are not armed", f"{RUNTIME}/robots/dynamixel.py",
           "            servos.arm_watchdog(self.spec.config.bus.watchdog_s)\n", "",
           ("tests/test_dynamixel_robot.py",)),
    Mutant("a joint may be anywhere", f"{RUNTIME}/robots/dynamixel.py", "(samples.valid & plausible)[None]",
           "samples.valid[None]", ("tests/test_dynamixel_robot.py",)),
    Mutant("any policy fits", POLICY, "            self.check_contract(spec)\n", "",
           ("tests/test_policy.py",)),
    Mutant("golden vectors are not looked at", POLICY, "if not difference <= GOLDEN_TOLERANCE:",
           "if False:", ("tests/test_policy.py",)),
    Mutant("a full disk ends the run", f"{RUNTIME}/logs/recorder.py",
           "        except OSError as error:\n            self._end(f\"{self.path}: {error.strerror or error}\")\n"
           "        except UserError",
           "        except ZeroDivisionError as error:\n            self._end(str(error))\n        except UserError",
           ("tests/test_recorder.py",)),
)  # fmt: skip
