"""Nothing lies over E-STOP, on any screen, in both themes, with everything open; every tap and key of it is sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from operator_helpers import BOX, POINTS, Operator, operating

pytest.importorskip("viser", reason="needs the extra 'view'")

from view_helpers import until

from wildrobot.runtime.commands.sender import REPEATS

SIZES = ((390, 844), (800, 600), (1280, 720), (1920, 1080))
THEMES = ("dark", "light")


@pytest.fixture(scope="module")
def operator(multicast: str) -> Iterator[Operator]:
    with operating(multicast) as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_is_open(operator: Operator) -> None:
    """What one test leaves behind is no other one's fault."""
    operator.close_all()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_nothing_lies_over_e_stop_and_every_tap_is_sent(
    operator: Operator, size: tuple[int, int], theme: str
) -> None:
    operator.look(size, theme)
    heard = len(operator.listener.estops)
    before = operator.presses
    operator.open_everything()
    found = {"covered": operator.covered(), "not sent": operator.not_sent()}
    faults = {key: f"{len(points)} of {len(POINTS)}: {points[0]}" for key, points in found.items() if points}
    assert not faults
    box = operator.screen.evaluate(BOX)
    place = [box[side] for side in ("x", "y", "width", "height")]
    assert place == ([0, 0, size[0], 72] if size[0] < 576 else [9, 8, 278, 60])
    until(
        lambda: len(operator.listener.estops) - heard >= REPEATS * (operator.presses - before),
        "every E-STOP on the network",
    )


def test_whatever_the_page_puts_over_everything_e_stop_is_above_it(operator: Operator) -> None:
    operator.screen.evaluate(
        """() => { const e = document.createElement('div'); e.id = 'blanket'; document.body.append(e);
        e.style.cssText = 'position:fixed;inset:0;z-index:2147483647;background:#000'; document.body.inert = true; }"""
    )
    assert operator.covered() == []
    assert operator.sent(operator.tap)
    # The browser's own top layer: another popover, and a picture as large as the screen.
    operator.screen.evaluate("() => { blanket.popover = 'manual'; blanket.showPopover(); }")
    until(lambda: operator.covered() == [], "E-STOP above another popover", 2.0)
    operator.screen.evaluate("() => { blanket.remove(); document.body.inert = false; estop.remove(); }")
    operator.screen.wait_for_selector("#estop")
    until(lambda: operator.covered() == [], "E-STOP, that somebody took away", 2.0)


def test_the_space_bar_is_e_stop_with_anything_open_but_a_space_in_a_text(operator: Operator) -> None:
    keyboard, reads = operator.screen.keyboard, "() => document.activeElement.value"

    def press() -> None:
        keyboard.press("Space")

    operator.look((1280, 720), "dark")
    operator.open_everything()
    assert operator.sent(press)
    operator.close_all()
    number = operator.page.server.gui.add_number("number", 5.0)
    operator.screen.locator(f"[id='{number._impl.uuid}']").click()
    keyboard.type("1")  # a number has no spaces
    assert operator.sent(press)
    number.remove()
    operator.screen.wait_for_selector(f"[id='{number._impl.uuid}']", state="detached")
    operator.open_commands()  # without a person's wish to write, the focus may be in a field of text
    assert operator.sent(press)
    operator.screen.wait_for_function("() => !estop.dataset.said")
    keyboard.type("robot")
    assert not operator.sent(press, 0.3)
    assert operator.screen.evaluate("() => estop.dataset.said ?? ''") == ""
    assert operator.screen.evaluate(reads) == "robot "
    assert operator.sent(press), "nobody writes two spaces: a person strikes the bar"
    keyboard.type("x")
    operator.screen.wait_for_function("() => estop.dataset.said == 'typing'")
    assert "typing" in operator.screen.evaluate("() => getComputedStyle(estop.lastChild, '::after').content")
    operator.close_commands()
    assert operator.sent(press)


def test_a_second_finger_is_as_good_as_the_first(operator: Operator) -> None:
    box, walk = (
        operator.screen.evaluate(BOX),
        operator.screen.get_by_role("button", name="walk").bounding_box(),
    )
    fingers = [{"x": one["x"] + one["width"] / 2, "y": one["y"] + one["height"] / 2, "id": i}
               for i, one in enumerate((walk, box))]  # fmt: skip
    device = operator.screen.context.new_cdp_session(operator.screen)
    for count in (1, 2):
        before = operator.presses
        touch = {"type": "touchStart", "touchPoints": fingers[:count]}
        device.send("Input.dispatchTouchEvent", touch)
    until(lambda: operator.presses > before, "E-STOP by the second finger", 5.0)
    device.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_an_e_stop_that_does_not_arrive_says_so_and_is_sent_when_it_can_be(operator: Operator) -> None:
    before = operator.presses
    operator.screen.route("**/estop", lambda route: route.abort())
    operator.screen.evaluate(
        """() => { window.words = []; new MutationObserver(() => words.push(estop.dataset.said ?? ''))
        .observe(estop, { attributeFilter: ['data-said'] }); }"""
    )
    operator.tap()
    operator.screen.wait_for_function("() => estop.dataset.said == 'unsent'")
    assert operator.presses == before
    said = operator.screen.evaluate("() => getComputedStyle(estop.lastChild, '::after').content")
    assert "NOT SENT" in said
    operator.screen.unroute("**/estop")
    until(lambda: operator.presses > before, "the E-STOP that was late")
    operator.screen.wait_for_function("() => !estop.dataset.said")
    assert operator.screen.evaluate("() => words.slice(-2)") == ["sent", ""]


STOP_COVERED = """() => {
  const stop = [...document.querySelectorAll('button')].find(e => e.innerText.startsWith('Stop:'));
  const column = stop.closest('.mantine-ScrollArea-viewport'), end = column.scrollHeight - column.clientHeight;
  const found = new Set(), seen = [];
  for (let at = 0; at <= Math.max(end, 0) + 5; at += 6) {
    column.scrollTop = at;
    const box = stop.getBoundingClientRect(), edge = column.getBoundingClientRect();
    for (const x of [0.02, 0.26, 0.5, 0.74, 0.98]) for (const y of [0.1, 0.5, 0.9]) {
      const [left, top] = [box.left + x * box.width, box.top + y * box.height];
      if (top < edge.top || top >= Math.min(edge.bottom, innerHeight)) continue;
      const over = document.elementFromPoint(left, top);
      seen.push(at);
      if (!stop.contains(over) && !over?.contains(stop)) found.add(over?.innerText || over?.id || over?.className);
    }
  }
  column.scrollTop = 0;
  return [[...found], seen.length, new Set(seen).size]; }"""
"""What lies over Stop wherever its column is scrolled to; at how many points, in how many places, it was in view."""


@pytest.mark.parametrize(
    "size", [(390, 844), (390, 667), (800, 400), (1280, 720)], ids=lambda size: f"{size[0]}x{size[1]}"
)
def test_nothing_lies_over_stop_wherever_its_column_is_scrolled(
    operator: Operator, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wildrobot.view.page.rivals_warning", lambda feed: "<p>two robots answer</p>" * 20)
    operator.look(size, "dark")
    operator.screen.wait_for_function(
        """narrow => [...document.querySelectorAll('button')].some(e => e.innerText.startsWith('Stop:')
        && narrow != !!e.closest('[data-dock-region=left]'))""",
        arg=size[0] <= 576,
    )
    operator.notify()
    operator.screen.wait_for_function("() => banner.innerText")
    room = operator.screen.add_style_tag(
        content=".mantine-ScrollArea-content>*{padding-bottom:900px!important}"
    )
    # A layout of another size may just be coming.
    until(lambda: not operator.screen.evaluate(STOP_COVERED)[0], "a Stop that nothing lies over", 5.0)
    covered, points, places = operator.screen.evaluate(STOP_COVERED)
    room.evaluate("e => e.remove()")
    assert covered == []
    assert points > 100
    assert places > 10
