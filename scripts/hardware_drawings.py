"""The drawings of docs/wiring.md: wiring and stand, as small SVGs that follow the page's theme."""

from __future__ import annotations

from hardware_figures import CAPACITY_AH, CELLS, FEET_OFF_FLOOR_M, OVER_HEAD_M, Hardware

STYLE = """
  text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #1c2530; }
  .small { font-size: 11px; } .middle { text-anchor: middle; } .end { text-anchor: end; }
  .page { fill: #f6f7f9; } .box { fill: #ffffff; stroke: #5b6774; stroke-width: 1.4; }
  .fuse { fill: #fdf0d5; stroke: #b97a10; stroke-width: 1.5; }
  .stop { fill: #fbdcdc; stroke: #c02626; stroke-width: 2; }
  .power { fill: none; stroke: #c02626; }
  .data { fill: none; stroke: #1f6fb8; stroke-width: 1.6; stroke-dasharray: 5 4; }
  .frame { fill: none; stroke: #5b6774; stroke-width: 6; stroke-linejoin: round; stroke-linecap: round; }
  .rope { stroke: #8b5a2b; stroke-width: 2; fill: none; } .floor { stroke: #5b6774; stroke-width: 1.5; }
  .robot { fill: #aeb7c2; stroke: #5b6774; stroke-width: 0.7; } .size { stroke: #1f6fb8; stroke-width: 1; fill: none; }
  .reach { fill: none; stroke: #b97a10; stroke-width: 1; stroke-dasharray: 4 4; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6eaef; } .page { fill: #14181d; } .box { fill: #1c2229; stroke: #98a4b1; }
    .fuse { fill: #3a2d12; stroke: #e0a63c; } .stop { fill: #45191b; stroke: #f07070; }
    .power { stroke: #f07070; } .data, .size { stroke: #5aa9f0; } .frame, .floor { stroke: #98a4b1; }
    .rope { stroke: #d09a62; } .robot { fill: #59636f; stroke: #98a4b1; } .reach { stroke: #e0a63c; }
  }
"""
MM = 0.28
"""Pixels per millimetre of the stand."""


def svg(width: int, height: int, label: str, lines: list[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
    page = f'<rect class="page" width="{width}" height="{height}"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", page, *lines, "</svg>"]) + "\n"


def box(x: float, y: float, width: float, height: float, *texts: str, kind: str = "box") -> list[str]:
    """A box with one or two lines of text in its middle."""
    lines = [f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="4"/>']
    for i, text in enumerate(texts):
        below = y + height / 2 + 4.5 + 15 * (i - (len(texts) - 1) / 2)
        size = ' class="middle small"' if i else ' class="middle"'
        lines.append(f'<text{size} x="{x + width / 2}" y="{below}">{text}</text>')
    return lines


def power(path: str, width: float = 2.0) -> str:
    return f'<path class="power" stroke-width="{width}" d="{path}"/>'


def data(path: str) -> str:
    return f'<path class="data" d="{path}"/>'


def text(x: float, y: float, words: str, kind: str = "small") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{words}</text>'


def wiring_svg(hardware: Hardware) -> str:
    main, *servos, rest, board = hardware.branches()
    lines = [
        power("M150 232 H430", 4),
        power("M320 232 V372 H350"),
        power("M555 372 H590"),
        power("M430 372 H460"),
    ]
    lines += [power("M505 396 V452 H540", 1.5), power("M600 452 H630", 1.5)]
    lines += [text(158, 224, "AWG 12"), text(326, 300, f"AWG {rest.awg}"), text(512, 430, f"AWG {board.awg}")]
    lines += box(20, 204, 130, 56, "battery, XT60", f"{CELLS}S LiPo, {CAPACITY_AH} Ah")
    lines += box(210, 212, 80, 40, f"F0 {main.fuse_a:g} A", kind="fuse")
    lines += box(345, 204, 105, 56, "switch, DC", "emergency stop", kind="stop")
    lines.append(power(f"M450 232 H490 M490 40 V{40 + 62 * (len(servos) - 1)}", 4))
    for i, branch in enumerate(servos):
        y = 40 + 62 * i
        lines += [power(f"M490 {y} H650", 2), text(598, y - 5, f"AWG {branch.awg}"), data(f"M860 {y} H885")]
        lines += box(510, y - 16, 80, 32, f"{branch.fuse} {branch.fuse_a:g} A", kind="fuse")
        lines += box(650, y - 20, 210, 40, branch.feeds)
    lines += box(350, 356, 80, 32, f"{rest.fuse} {rest.fuse_a:g} A", kind="fuse")
    lines += box(460, 348, 95, 48, "converter", "12 V to 5 V, 5 A")
    lines += box(590, 348, 110, 48, "computer")
    lines += box(540, 436, 60, 32, f"{board.fuse} {board.fuse_a:g} A", kind="fuse")
    board_id = hardware.spec.config.bus.sensor_board_id
    lines += box(630, 428, 150, 48, f"sensor board {board_id}", "IMU, four foot inputs")
    lines += box(755, 348, 90, 48, "U2D2", "DATA and GND")
    lines += [data("M700 372 H755"), text(712, 366, "USB"), data("M845 372 H885 M885 40 V452 H780")]
    lines += [text(20, 20, "red: 12 V and 5 V, thicker where it carries all; blue: data; ground not drawn")]
    return svg(910, 490, "Wiring: a fuse in every branch, the switch before the servos", lines)


def stand_svg(hardware: Hardware) -> str:
    lines = []
    base = 330.0
    bar = base - 1000.0 * MM * hardware.bar_height
    feet = 1000.0 * MM * FEET_OFF_FLOOR_M
    for middle, axis, span, reach, name in (
        (245.0, 1, hardware.free_width, hardware.reach_y, "from the front"),
        (665.0, 0, hardware.free_depth, hardware.reach_x, "from the right"),
    ):
        half, hip = (
            500.0 * MM * span,
            base - feet - 1000.0 * MM * (hardware.pelvis_height - hardware.spec.leg.hip_drop),
        )
        sign = -1.0 if axis == 1 else 1.0  # the robot looks at the reader, or to the right
        lines.append(f'<path class="floor" d="M{middle - half - 25} {base} H{middle + half + 25}"/>')
        if axis == 1:
            lines.append(
                f'<path class="frame" d="M{middle - half} {base - 3} V{bar} H{middle + half} V{base - 3}"/>'
            )
        else:
            lines.append(
                f'<path class="frame" d="M{middle - half} {base - 3} H{middle + half} M{middle} {base} V{bar}"/>'
            )
        for center, size in hardware.shapes:
            low, high = center - size, center + size
            left = middle + 1000.0 * MM * min(sign * low[axis], sign * high[axis])
            top = base - feet - 1000.0 * MM * high[2]
            wide, tall = 2000.0 * MM * size[axis], 2000.0 * MM * size[2]
            lines.append(
                f'<rect class="robot" x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>'
            )
        pelvis = base - feet - 1000.0 * MM * hardware.pelvis_height
        if axis == 1:
            side, over = (
                500.0 * MM * hardware.spreader,
                base - feet - 1000.0 * MM * (hardware.height + 0.4 * OVER_HEAD_M),
            )
            lines.append(
                f'<path class="rope" d="M{middle} {bar} V{bar + 8} L{middle - side} {over} '
                f"V{pelvis - 22} L{middle - 12} {pelvis} "
                f"M{middle} {bar + 8} L{middle + side} {over} V{pelvis - 22} L{middle + 12} {pelvis} "
                f'M{middle - side} {over} H{middle + side}"/>'
            )
            lines.append(text(middle + side + 4, over + 4, f"spreader {mm(hardware.spreader)}"))
        else:
            lines.append(f'<path class="rope" d="M{middle} {bar} V{pelvis}"/>')
        far = 1000.0 * MM * reach
        lines.append(f'<path class="reach" d="M{middle - far} {hip} V{base} M{middle + far} {hip} V{base}"/>')
        lines += across(
            middle - half,
            middle + half,
            base + 22,
            f"free between the posts {mm(span)}" if axis else f"base {mm(span)}",
        )
        lines += across(middle - far, middle + far, base + 46, f"the feet reach {mm(2 * reach)}")
        lines.append(text(middle, bar - 12, name, "middle"))
    left = 245.0 - 500.0 * MM * hardware.free_width - 16
    lines += along(bar, base, left, f"bar {mm(hardware.bar_height)}")
    x = 665.0 + 500.0 * MM * hardware.free_depth + 30
    top = base - feet - 1000.0 * MM * hardware.height
    lines += along(top, base - feet, x, f"robot {mm(hardware.height)}", right=True)
    lines += along(base - feet, base, x, f"feet {mm(FEET_OFF_FLOOR_M)} up", right=True)
    return svg(930, 395, "The stand, from the front and from the right, in millimetres", lines)


def mm(length: float) -> str:
    return f"{1000.0 * length:.0f}"


def across(start: float, end: float, y: float, words: str) -> list[str]:
    ticks = f"M{start:.1f} {y - 4} v8 M{end:.1f} {y - 4} v8"
    line = f'<path class="size" d="M{start:.1f} {y} H{end:.1f} {ticks}"/>'
    return [line, text((start + end) / 2, y - 3, words, "middle small")]


def along(start: float, end: float, x: float, words: str, right: bool = False) -> list[str]:
    ticks = f"M{x - 4} {start:.1f} h8 M{x - 4} {end:.1f} h8"
    line = f'<path class="size" d="M{x} {start:.1f} V{end:.1f} {ticks}"/>'
    middle = (start + end) / 2 + 4
    if right:
        return [line, text(x + 7, middle, words)]
    return [
        line,
        f'<text class="small middle" transform="translate({x - 5} {middle}) rotate(-90)">{words}</text>',
    ]
