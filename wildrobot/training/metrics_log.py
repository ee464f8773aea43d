"""What a training run writes down, iteration by iteration: RUN/metrics.jsonl and TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from wildrobot.core.files import json_document, write_text


class MetricsLog:
    """RUN/metrics.jsonl and TensorBoard; on resume the lines beyond the checkpoint are dropped."""

    def __init__(self, run: Path, iteration: int, tensorboard: bool) -> None:
        path = run / "metrics.jsonl"
        lines = []
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:
                    break
                if entry["iteration"] <= iteration:
                    lines.append(line)
        write_text(path, "".join(line + "\n" for line in lines))
        self.spent_s = json.loads(lines[-1])["time_s"] if lines else 0.0
        self._file = path.open("a")
        self._writer: SummaryWriter | None = (
            SummaryWriter(str(run / "tensorboard"), purge_step=iteration) if tensorboard else None
        )

    def write(self, metrics: dict[str, Any]) -> None:
        """One iteration."""
        clean = json_document(metrics)
        self._file.write(json.dumps(clean) + "\n")
        self._file.flush()
        if self._writer is not None:
            for name, value in clean.items():
                if isinstance(value, (int, float)):
                    self._writer.add_scalar(name, value, metrics["iteration"])

    def close(self) -> None:
        """Flush both."""
        self._file.close()
        if self._writer is not None:
            self._writer.close()
