"""What rerun's own loader reads of an MCAP file: `rerun_reader.py FILE TOPIC/FIELD...` prints JSON.

Selectors are what a time series view is given as the source of a curve: .joint_position.left_knee_pitch
"""

from __future__ import annotations

import json
import sys
from typing import Any

import rerun
from rerun.chunk import McapReader, Selector

path, *curves = sys.argv[1:]
chunks = list(McapReader(path, recover=True).stream().to_chunks())
found: dict[str, Any] = {}
units: dict[str, dict[str, str]] = {}
for chunk in chunks:
    if chunk.is_static:
        batch = chunk.to_record_batch()
        for name in batch.schema.names:
            if name.startswith("units "):
                ((pairs,),) = batch[name].to_pylist()
                said = {pair["first"]: pair["second"] for pair in pairs}
                units[name.removeprefix("units ")] = said
for curve in curves:
    topic, field = curve.split("/", 1)
    times, values = [], []
    for chunk in chunks:
        if chunk.is_static or chunk.entity_path.strip("/") != topic:
            continue
        batch = chunk.to_record_batch()
        (component,) = (name for name in batch.schema.names if name.endswith(":message"))
        times += batch["message_log_time"].cast("int64").to_pylist()
        values += Selector("." + field).execute_per_row(batch[component]).to_pylist()
    found[curve] = {
        "time_ns": times,
        "value": [value[0] for value in values],
        "unit": units.get(topic, {}).get(field, ""),
    }
print(json.dumps({"reader": f"rerun {rerun.__version__}", "curves": found}))
