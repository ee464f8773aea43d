"""Make docs/images/walk.webp, the animated walk of the README, from a run of the shipped policy.

python scripts/readme_images.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import av
from PIL import Image

from wildrobot.core.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "walk.webp"
SIZE = (400, 300)
FROM_S, STRIDES = 6.0, 4
EVERY = 2
"""Every so many frames of the video."""


def film(path: Path, seconds: float) -> None:
    """The shipped policy walking at 0.3 m/s, as a video."""
    command = [sys.executable, "-m", "wildrobot", "run", "--robot", "sim"]
    command += ["--speed", "0.3", "--duration", str(seconds), "--fast", "--no-lcm", "--video", str(path)]
    subprocess.run(command, check=True, cwd=ROOT)


def main() -> None:
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
