"""A policy's films side by side, each with its figures: for the page beside them and for the report."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from wildrobot.reports.elements.html_tables import find_rows, page

FLOOR_SQUARE_M = 0.25
"""Width of the squares that the robot's model paints on its floor."""


def build_page(document: Mapping[str, Any]) -> str:
    """The page beside the films, from the document in film.json."""
    policy = html.escape(str(document.get("policy", "policy")))
    return page(f"Film · {policy}", f"<h1>Film · {policy}</h1>{film_grid(document, quote)}")


def film_grid(document: Mapping[str, Any], source: Callable[[str], str | None]) -> str:
    """HTML of all scenes; `source` gives the address of a film's file, None where it is missing."""
    robot = "another robot, drawn with" if document.get("randomize") else "the robot as described,"
    said = (
        f"{document.get('policy', 'A policy')} ({str(document.get('policy_sha256', ''))[:12]}), simulated through the "
        f"loop of wildrobot-run, {robot} seed {document.get('seed', 0)}. "
        f"A square of the floor is {100 * FLOOR_SQUARE_M:g} cm wide."
    )
    figures = "".join(_figure(row, source(str(row.get("file", "")))) for row in find_rows(document))
    return f'<p class="faint">{html.escape(said)}</p><div class="films">{figures}</div>'


def outcome(row: Mapping[str, Any]) -> str:
    """One line about a scene."""
    words = "; ".join(f"{name} {value}" for name, value in _facts(row))
    return f"{_ending(row)}; {words}"


def _figure(row: Mapping[str, Any], address: str | None) -> str:
    good = row.get("fell_at_s") is None and row.get("fault") is None
    video = (
        f'<p class="fail">Not on this page: {html.escape(str(row.get("file", "")))}</p>'
        if address is None
        else f'<video controls loop muted playsinline preload="metadata" src="{html.escape(address)}"></video>'
    )
    facts = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in _facts(row)
    )
    return (
        f'<figure>{video}<figcaption><div class="what"><span>{html.escape(str(row.get("title", "")))}</span>'
        f'<span class="{"pass" if good else "fail"}">{html.escape(_ending(row))}</span></div><dl>{facts}</dl>'
        "</figcaption></figure>"
    )


def _ending(row: Mapping[str, Any]) -> str:
    if row.get("fell_at_s") is not None:
        return f"fell at {row['fell_at_s']:.1f} s"
    return f"stopped by {row['fault']}" if row.get("fault") else "did not fall"


def _facts(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value with its unit) of what a scene is about."""
    speed, asked = row.get("mean_speed_m_s"), row.get("asked_speed_m_s")
    shown = "not measured" if speed is None or asked is None else f"{speed:.2f} m/s (asked {asked:.2f})"
    facts = [("mean speed", shown)]
    turn, asked_turn = float(row.get("turn_rad") or 0.0), float(row.get("asked_turn_rad") or 0.0)
    facts.append(("heading change", f"{_signed(turn)} rad (asked {_signed(asked_turn)})"))
    facts.append(("moved", f"{100 * float(row.get('moved_m') or 0.0):.0f} cm from its start"))
    facts += [("pushed", str(push)) for push in row.get("pushes") or ()]
    return facts


def _signed(value: float) -> str:
    """Two digits with a sign, a plain 0.00 without."""
    return f"{value:+.2f}" if abs(value) >= 0.005 else "0.00"
