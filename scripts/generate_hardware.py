"""Write what of docs/wiring.md and README.md follows from robot.yaml, MJCF and makers' figures, and the drawings.

python scripts/generate_hardware.py
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from hardware_drawings import mm, stand_svg, wiring_svg  # noqa: E402
from hardware_figures import (  # noqa: E402
    AROUND_M,
    C_RATING,
    CAPACITY_AH,
    CATCH,
    CELL_V,
    CELLS,
    COMPUTER_W,
    CONVERTER,
    FEET_OFF_FLOOR_M,
    LASTING,
    OVER_HEAD_M,
    PRICES,
    SERVO_RANGE_V,
    USED,
    WALK_M_S,
    WIRE_A,
    Hardware,
    ohm_per_m,
)

E_MANUAL = "https://emanual.robotis.com/docs/en/dxl/x/xm430-w350/"
WIDTH = 118
WIRING, README, IMAGES = ROOT / "docs" / "wiring.md", ROOT / "README.md", ROOT / "docs" / "images"


def marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"


def page_with(text: str, name: str, block: str) -> str:
    """`text` with what stands between the marks of `name` replaced."""
    begin, end = marks(name)
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(
            f"the page has no marks '{begin.strip()}' and '{end}'. Put them where the block belongs."
        )
    return before + begin + block + end + after


def table(*rows: tuple[str, ...]) -> str:
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join((head, "|" + "---|" * len(rows[0]), *body)) + "\n"


def currents(h: Hardware) -> str:
    full = f"{h.stall_a} A × {h.full_v:.1f} V / {h.nominal_v:.1f} V = {h.full_stall_a:.2f} A"
    return paragraph(
        f"A stalled {h.servo} takes {h.stall_a} A at {h.nominal_v:.1f} V ([e-manual]({E_MANUAL})). A motor that stands "
        f"still takes current in proportion to its voltage, so on a full battery it is {full}. All {h.count} together: "
        f"{h.count} × {h.stall_a} A = {h.count * h.stall_a:.1f} A at {h.nominal_v:.0f} V, "
        f"{h.count} × {h.full_stall_a:.2f} A = {h.count * h.full_stall_a:.1f} A on a full battery."
    )


def fuses(h: Hardware) -> str:
    rows: list[tuple[str, ...]] = [
        ("fuse", "feeds", "draws at most", "blade fuse", "wire", "the wire carries")
    ]
    for b in h.branches():
        share = f" / {LASTING}" if b.lasting else ""
        rows.append(
            (b.fuse, b.feeds, f"{b.sum} = {b.current_a:.1f} A" if "×" in b.sum or "/" in b.sum else b.sum,
             f"{b.fuse_a:g} A (≥ {b.current_a:.1f} A{share})", f"AWG {b.awg}", f"{WIRE_A[b.awg]:g} A")
        )  # fmt: skip
    longest = max(h.branches()[1:5], key=lambda b: b.current_a)
    ohm = 2.0 * h.hub_to_ankle * ohm_per_m(longest.awg)
    return (
        table(*rows)
        + "\n"
        + paragraph(
            f"Lost on the way to an ankle when hip or ankle pair stalls: there and back 2 × {h.hub_to_ankle:.2f} m × "
            f"{1e3 * ohm_per_m(longest.awg):.1f} mΩ/m = {1e3 * ohm:.0f} mΩ, × {longest.current_a:.1f} A = "
            f"{ohm * longest.current_a:.2f} V."
        )
    )


def battery(h: Hardware) -> str:
    peak = h.branches()[0].current_a
    energy, drawn = CAPACITY_AH * h.pack_v * USED, h.walk_w + COMPUTER_W / CONVERTER
    cells = (
        f"{CELLS} × {CELL_V[0]} V = {h.full_v:.1f} V full, {CELLS} × {CELL_V[1]} V = {h.pack_v:.1f} V nominal: what "
        f"the shipped policy was trained for. The servos take {SERVO_RANGE_V[0]:.0f} to {SERVO_RANGE_V[1]} V (e-manual)"
    )
    capacity = (
        f"{CAPACITY_AH} Ah × {h.pack_v:.1f} V × {USED} / ({h.walk_w:.0f} W + {COMPUTER_W:.0f} W / {CONVERTER}) = "
        f"{energy:.1f} Wh / {drawn:.0f} W = {h.minutes:.0f} min. {h.walk_w:.0f} W: the servos at {WALK_M_S} m/s in "
        f"simulation; {COMPUTER_W:.0f} W: the most that the computer's supply gives"
    )
    rating = f"{peak:.1f} A / {CAPACITY_AH} Ah = {peak / CAPACITY_AH:.0f} C when all stall"
    end = f"the same guard stops the robot: {h.low.stop / CELLS:.2f} V a cell"
    return table(
        ("figure", "value", "why"),
        ("cells", f"{CELLS} in series, lithium polymer", cells),
        ("capacity", f"{CAPACITY_AH} Ah", capacity),
        ("C rating", f"{C_RATING} C or more", f"{rating}; {C_RATING} C gives {C_RATING * CAPACITY_AH:.0f} A"),
        (
            "warning",
            f"{h.low.warn:.1f} V",
            f"guard `voltage_low_v`: {h.low.warn / CELLS:.2f} V a cell, under load",
        ),
        ("end", f"{h.low.stop:.1f} V", f"{end}, above the servos' {SERVO_RANGE_V[0]:.0f} V"),
        ("charger", f"for {CELLS} cells, with balancer", "on something that does not burn, not in the robot"),
    )


def prices(h: Hardware) -> str:
    rows: list[tuple[str, ...]] = [("part", "number", "pieces", "USD each", "USD", "list price seen at")]
    for part, number, price, where in PRICES:
        count = h.count if part == h.servo else 1
        rows.append(
            (part, number or "by its name", str(count), f"{price:.2f}", f"{count * price:.2f}", where)
        )
    rows.append(("together", "", "", "", f"{h.known_price:.2f}", "without tax and shipping"))
    return table(*rows)


def stand(h: Hardware) -> str:
    height = (
        f"feet {mm(FEET_OFF_FLOOR_M)} up + robot {mm(h.height)} + {mm(OVER_HEAD_M)} for hook and spreader"
    )
    width = f"2 × (the feet reach {mm(h.reach_y)} to the side, hip roll at its limit + {mm(AROUND_M)})"
    depth = f"2 × (the feet reach {mm(h.reach_x)} + {mm(AROUND_M)})"
    weight = f"{h.mass:.2f} kg × 9.81 m/s² = {h.weight_n:.0f} N"
    return (
        table(
            ("measure", "mm", "sum"),
            ("bar over the floor", mm(h.bar_height), f"{height}, rounded up"),
            ("free between the posts", mm(h.free_width), f"{width}, rounded up"),
            ("base, and free in front and behind", mm(h.free_depth), f"{depth}, rounded up"),
            ("spreader", mm(h.spreader), f"torso {mm(h.torso_width)} + 2 × 30"),
        )
        + "\n"
        + paragraph(
            f"Bar and each rope hold {CATCH * h.weight_n:.0f} N: {CATCH:.0f} × the weight, {weight}, because "
            "the robot falls into them. The factor is a guess of ours."
        )
    )


def readme(h: Hardware) -> str:
    return (
        paragraph(
            "**No robot has run this yet.** A virtual one stands in for it: the same bytes on the bus, with MuJoCo's "
            "physics behind them. What follows needs no hardware."
        )
        + "\n"
        + paragraph(
            f"A real robot takes {h.count} {h.servo} servos, a U2D2 adapter, an OpenRB-150 board with a BNO085 and "
            f"four foot sensors, a Linux computer on board, a {CELLS}S LiPo battery, fuses and a switch. Servos, "
            f"adapter, board and IMU cost about USD {round(h.known_price, -2):,.0f} together (the shops' list prices "
            "as public parts lists quote them, the servo's of August 2026; we have not asked the shops). For the rest "
            "we have no prices; frame, feet, mounts and a stand's joints are still to be designed. Parts, sums and "
            "drawings: "
            "[docs/wiring.md](docs/wiring.md)."
        )
    )


def paragraph(words: str) -> str:
    return textwrap.fill(words, WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def files(h: Hardware) -> dict[Path, str]:
    """Every file that follows, with the text that it should have."""
    page = WIRING.read_text(encoding="utf-8")
    for name, make in (
        ("currents", currents),
        ("fuses", fuses),
        ("battery", battery),
        ("prices", prices),
        ("stand", stand),
    ):
        page = page_with(page, name, make(h))
    return {
        WIRING: page,
        README: page_with(README.read_text(encoding="utf-8"), "hardware", readme(h)),
        IMAGES / "wiring.svg": wiring_svg(h),
        IMAGES / "stand.svg": stand_svg(h),
    }


def main() -> None:
    for path, text in files(Hardware()).items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
