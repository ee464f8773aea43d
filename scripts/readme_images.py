"""Make the README's pictures: walk.webp, the shipped policy's walk, and view.png, the live page while it walks, in
docs/images (the second needs Chromium and the Python package playwright).

python scripts/readme_images.py [walk] [view]
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
from PIL import Image

from wildrobot.core.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
PICTURE, VIEW = (ROOT / "docs" / "images" / name for name in ("walk.webp", "view.png"))
SIZE = (400, 300)
FROM_S, STRIDES = 6.0, 4
EVERY = 2
"""Every so many frames of the video."""


def film(path: Path, seconds: float) -> None:
    """The shipped policy walking at 0.3 m/s, as a video."""
    command = [sys.executable, "-m", "wildrobot", "run", "--robot", "sim"]
    command += ["--speed", "0.3", "--duration", str(seconds), "--fast", "--no-lcm", "--video", str(path)]
    subprocess.run(command, check=True, cwd=ROOT)


def view_picture() -> None:
    """The live page beside a robot that walks; the processes and the browser are those of the page's tests."""
    from view_helpers import Rig, browser

    url = f"udpm://239.255.76.67:{20000 + os.getpid() % 20000}?ttl=0"
    with tempfile.TemporaryDirectory() as folder, browser() as launched:
        rig = Rig(Path(folder), url, launched, query="&fixedDpr=1", drawn=True)
        try:
            rig.stand()
            rig.slide(rig.page, 0.6)
            rig.wait_for("walking")
            rig.page.mouse.move(150, 700)  # no hint over the controls
            time.sleep(8.0)
            shot = rig.page.screenshot()
        finally:
            rig.close()
    with Image.open(io.BytesIO(shot)) as image, atomic_write(VIEW) as file:
        image.convert("RGB").quantize(256).save(file, "PNG", optimize=True)
    print(f"{VIEW.relative_to(ROOT)}: {VIEW.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    wanted = sys.argv[1:] or ["walk", "view"]
    for name in wanted:
        {"walk": walk_picture, "view": view_picture}[name]()


def walk_picture() -> None:
    """Whole strides of a walk, as a loop."""
    from wildrobot.robot_description import load_robot

    length_s = STRIDES / load_robot().gait.stride_hz  # whole strides, so that the loop closes
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "walk.mp4"
        film(video, FROM_S + length_s + 1.0)
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            fps = float(stream.average_rate)
            frames = [frame.to_image() for frame in container.decode(stream)]
    first = round(FROM_S * fps)
    chosen = frames[first : first + round(length_s * fps) : EVERY]
    small = [frame.resize(SIZE, Image.Resampling.LANCZOS) for frame in chosen]
    with atomic_write(PICTURE) as file:
        small[0].save(
            file,
            "WEBP",
            save_all=True,
            append_images=small[1:],
            duration=round(1000 * EVERY / fps),
            loop=0,
            quality=70,
            method=6,
        )
    print(f"{PICTURE.relative_to(ROOT)}: {len(small)} frames, {PICTURE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
