"""Run with pysdl2 under LD_PRELOAD: says what SDL makes of event devices. Pads are FIFOs, named on stdin as JSON.

For each: its GUID, and which code of the pad is which of SDL's buttons; which axis code, at its minimum, which value.
"""

import ctypes
import json
import os
import struct
import sys

os.environ.update(
    SDL_JOYSTICK_HIDAPI="0",
    SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS="1",
    SDL_GAMECONTROLLER_ALLOW_STEAM_VIRTUAL_GAMEPAD="1",
    SDL_VIDEODRIVER="dummy",
)
import sdl2

BUTTONS = {
    "a": sdl2.SDL_CONTROLLER_BUTTON_A,
    "b": sdl2.SDL_CONTROLLER_BUTTON_B,
    "leftshoulder": sdl2.SDL_CONTROLLER_BUTTON_LEFTSHOULDER,
    "start": sdl2.SDL_CONTROLLER_BUTTON_START,
    "dpup": sdl2.SDL_CONTROLLER_BUTTON_DPAD_UP,
    "dpleft": sdl2.SDL_CONTROLLER_BUTTON_DPAD_LEFT,
    "dpright": sdl2.SDL_CONTROLLER_BUTTON_DPAD_RIGHT,
}
AXES = {
    "leftx": sdl2.SDL_CONTROLLER_AXIS_LEFTX,
    "lefty": sdl2.SDL_CONTROLLER_AXIS_LEFTY,
    "rightx": sdl2.SDL_CONTROLLER_AXIS_RIGHTX,
}


def emit(pipe, kind, code, value):
    os.write(pipe, struct.pack("@llHHi", 0, 0, kind, code, value) + struct.pack("@llHHi", 0, 0, 0, 0, 0))
    sdl2.SDL_GameControllerUpdate()
    while sdl2.SDL_PollEvent(ctypes.byref(sdl2.SDL_Event())):
        pass


def ask(pad):
    sdl2.SDL_SetHint(b"SDL_GAMECONTROLLER_USE_BUTTON_LABELS", b"0")
    sdl2.SDL_SetHint(b"SDL_JOYSTICK_DEVICE", pad["path"].encode())
    pipe = os.open(pad["path"], os.O_RDWR | os.O_NONBLOCK)
    sdl2.SDL_Init(sdl2.SDL_INIT_GAMECONTROLLER)
    try:
        if sdl2.SDL_NumJoysticks() != 1:
            return {"joysticks": sdl2.SDL_NumJoysticks()}
        text = ctypes.create_string_buffer(33)
        sdl2.SDL_JoystickGetGUIDString(sdl2.SDL_JoystickGetDeviceGUID(0), text, 33)
        said = {"joysticks": 1, "guid": text.value.decode(), "buttons": {}, "axes": {}, "mapped": False}
        if not sdl2.SDL_IsGameController(0):
            return said
        said["mapped"] = True
        controller = sdl2.SDL_GameControllerOpen(0)
        said["mapping"] = sdl2.SDL_GameControllerMapping(controller).decode()
        for code in pad["keys"]:
            emit(pipe, 1, code, 1)
            for name, button in BUTTONS.items():
                if sdl2.SDL_GameControllerGetButton(controller, button):
                    said["buttons"].setdefault(name, []).append(code)
            emit(pipe, 1, code, 0)
        for axis, (low, high) in pad["axes"].items():
            middle = 0 if low in (-high, -high - 1) else (low + high + 1) // 2
            emit(pipe, 3, int(axis), middle)
            for end, value in (("minimum", low), ("maximum", high)):
                emit(pipe, 3, int(axis), value)
                for name, number in AXES.items():
                    at = sdl2.SDL_GameControllerGetAxis(controller, number)
                    if abs(at) > 20000:
                        said["axes"].setdefault(name, []).append([int(axis), end, 1 if at > 0 else -1])
                for name in ("dpup", "dpleft"):
                    if sdl2.SDL_GameControllerGetButton(controller, BUTTONS[name]):
                        said["buttons"].setdefault(name, []).append([int(axis), end])
                emit(pipe, 3, int(axis), middle)
        sdl2.SDL_GameControllerClose(controller)
        return said
    finally:
        sdl2.SDL_QuitSubSystem(sdl2.SDL_INIT_GAMECONTROLLER)
        os.close(pipe)


print(json.dumps([ask(pad) for pad in json.load(sys.stdin)]))
