"""The page's colors, dark and light, and its style sheet: everything that is drawn takes them from here.

viser writes each viewer's choice into the page (`data-mantine-color-scheme`), and the style sheet follows it. So one
page serves both: texts name a color, `var(--good)` say, and only the browser knows which one that is.
"""

from __future__ import annotations

THEMES = {
    "dark": {
        "panel": "#242424", "ink": "#dee2e6", "dim": "#9a9da1", "rule": "#3a3a3d", "track": "#333336",
        "good": "#51cf66", "fair": "#ffb020", "bad": "#ff7b7b", "quiet": "#9a9da1",
        "estimated": "#4dabf7", "asked": "#ffb020",
        "brand": "#409cff", "sky": "#11141a", "ground": "#1d2129", "lines": "none",
    },
    "light": {
        "panel": "#ffffff", "ink": "#1c2530", "dim": "#5b6774", "rule": "#dfe4ea", "track": "#e9edf1",
        "good": "#1d7a3a", "fair": "#9c5700", "bad": "#c02b2b", "quiet": "#5b6774",
        "estimated": "#1864ab", "asked": "#9c5700",
        "brand": "#0f3d68", "sky": "#7f92a6", "ground": "#a9b7c5", "lines": "brightness(.6) saturate(1.6)",
    },
}  # fmt: skip
"""Colors by what they mean. `brand` is viser's for tabs, sliders and buttons, which it makes shades of.
`lines` is a CSS filter: a chart is a picture that cannot name colors, so it is drawn in those of the dark theme."""
ESTIMATED_LINE, ASKED_LINE = THEMES["dark"]["estimated"], THEMES["dark"]["asked"]
LINES = (ESTIMATED_LINE, ASKED_LINE, "#69db7c", "#f783ac", "#b197fc", "#ffe066")
AXIS, GRID = "#adb5bd", "#adb5bd30"


def color(name: str) -> str:
    """The CSS color of this meaning in a viewer's own theme."""
    return f"var(--{name})"


def style_sheet() -> str:
    """Both themes' colors, and the looks of this page's texts and charts."""
    schemes = (
        f":root[data-mantine-color-scheme={theme}]{{"
        + "".join(f"--{name}:{value};" for name, value in colors.items())
        + "--mantine-color-body:var(--panel)!important}"
        for theme, colors in THEMES.items()
    )
    return "".join(schemes) + TEXTS


TEXTS = """
canvas[data-engine]{background:linear-gradient(var(--sky) 30%,var(--ground) 70%)}
.uplot canvas,.wr .key{filter:var(--lines)}
.uplot-container{border:none!important;background:none!important;margin:0!important}
.uplot .u-legend,.uplot .u-title{display:none}
.wr{font:12.5px/1.45 system-ui,"DejaVu Sans",sans-serif;color:var(--ink);padding:0 .8em .4em}
.wr b{font-weight:600}.wr .state{font-size:16px;font-weight:700;letter-spacing:.04em;width:fit-content;
border:2px solid;border-radius:99px;padding:0 12px;line-height:1.35;margin-bottom:2px}
.wr .dim{color:var(--dim)}.wr table{width:100%;border-collapse:collapse}
.wr td{padding:1px 0;vertical-align:top;white-space:nowrap}
.wr td:last-child{text-align:right;font-variant-numeric:tabular-nums;white-space:normal}
.wr code{font-size:11.5px;overflow-wrap:anywhere}
.wr .line{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.wr .events{margin-top:5px;border-top:1px solid var(--rule);padding-top:4px;font-size:11.5px;line-height:1.35}
.wr .events{box-sizing:content-box;overflow:hidden;max-height:round(down,100vh - 653px,1.35em)}
.wr.plot{padding:3px .8em 0;line-height:17px;font-size:11.5px}
.wr.plot>span,.wr.plot button{white-space:nowrap;margin:0 0 0 7px}
.wr.plot button{all:unset;margin-left:7px;cursor:pointer}
.wr.plot button:hover{text-decoration:underline}.wr.plot button:focus-visible{outline:2px solid var(--brand)}
.wr.plot button[aria-pressed=false]{color:var(--dim);text-decoration:line-through}
.wr.plot button[aria-pressed=false] .key{visibility:hidden}
.wr.features{line-height:max(15px,calc((100vh - 60px)/var(--rows) - 2px))}
.wr.features .dim{font-size:11.5px}
.wr .bar{position:relative;height:9px;background:var(--track);border-radius:2px;display:inline-block;width:100%}
.wr .bar i{position:absolute;top:0;bottom:0;border-radius:2px;background:var(--estimated)}
.wr.stages td{text-align:right;height:3.7vh}.wr.stages td:first-child{text-align:left}
.wr .cause{border-left:3px solid var(--bad);padding:1px 0 1px 7px;margin:2px 0 3px;line-height:1.35;font-size:12px}
.wr.servos{font-size:11.5px;padding-top:3px}.wr.servos td{text-align:right;font-variant-numeric:tabular-nums}
.wr.servos td+td{padding-left:4px}.wr.servos td:first-child{text-align:left}.wr.servos tr[data-pick]{cursor:pointer}
.wr.servos tr[data-pick]:hover,.wr.servos .picked{background:var(--track)}
.wr.servos .note{white-space:normal;line-height:1.35;margin-top:2px}
@media(max-width:1000px){.wr.servos{font-size:10.5px;padding-inline:.5em}}
@media(max-height:700px){[data-dock-region=left] .wr{padding-right:1.6em}}
@media(max-width:576px){.wr.servos{font-size:11.5px}.wr td{white-space:normal}}
@media(min-height:900px){.wr{line-height:2}.wr.features .dim{font-size:inherit}
.wr .events{line-height:1.8;max-height:round(down,100vh - 815px,1.8em)}}
"""
