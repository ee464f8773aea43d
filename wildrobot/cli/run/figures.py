"""The figures of a run on the screen."""

from __future__ import annotations

from typing import Any

from wildrobot.cli.common.rows import histogram_rows, print_rows


def print_figures(figures: dict[str, Any]) -> None:
    """The final figures for a person; what this robot cannot measure is left out."""

    def shown(value: float | None, unit: str, scale: float = 1.0, digits: int = 3) -> str:
        return "" if value is None else f"{value * scale:.{digits}f} {unit}"

    tick = figures["tick"]
    rows = [
        ("time walked", shown(figures["walked_s"], "s", digits=2)),
        ("mean speed", shown(figures["mean_speed_m_s"], "m/s")),
        ("commanded", shown(figures["commanded_speed_m_s"], "m/s")),
        ("heading drift", shown(figures["heading_drift_rad"], "rad at the end")),
        ("", shown(figures["heading_drift_max_rad"], "rad at most")),
        ("style score", shown(figures["style_score"], "of 1", digits=2)),
        ("falls", str(figures["falls"])),
        ("stopped by", figures["fault"] or ("a fall" if figures["falls"] else "its command")),
    ]
    if figures["measured_by"] == "simulator":
        for side, clearance in figures["swing_clearance_m"].items():
            count = figures["swings"][side]
            height = shown(clearance, "mm", 1e3, 1)
            rows.append(
                (
                    f"swing clearance, {side}",
                    f"{height} (mean of {count} swings)" if height else "no swing seen",
                )
            )
    rows += [
        ("loop time", f"p50 {tick['p50_ms']:.2f}, p99 {tick['p99_ms']:.2f}, max {tick['max_ms']:.2f} ms"),
        *(("", row) for row in histogram_rows(tick)),
        ("missed ticks", f"{tick['missed']} of {tick['count']}"),
    ]
    if figures["real_time"]:
        late = figures["lateness"]
        rows.append(
            (
                "wake-up delay",
                f"p50 {late['p50_ms']:.2f}, p99 {late['p99_ms']:.2f}, max {late['max_ms']:.2f} ms",
            )
        )
    if figures["messages_dropped"]:
        rows.append(("messages dropped", str(figures["messages_dropped"])))
    if figures.get("log_ended"):
        rows.append(("the log ended", figures["log_ended"]))
    commands = figures["commands"]
    if commands["lost"]:
        rows.append(("commands lost", f"{commands['lost']} (stood still each time)"))
    if commands["refused"]:
        counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in commands["refused"].items())
        rows.append(("commands refused", counts))
    usage = figures["usage"]
    rows.append(("taken", f"{usage['cpu_share']:.0%} of a CPU, {usage['memory_mb']:.0f} MB"))
    print_rows([(name, value) for name, value in rows if value])
