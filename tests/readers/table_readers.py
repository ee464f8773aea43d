"""What pandas, polars and DuckDB read of parquet files: `table_readers.py FOLDER CHANNEL/COLUMN...` prints JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import duckdb
import pandas
import polars

folder, *curves = sys.argv[1:]
found: dict[str, dict[str, Any]] = {"pandas": {}, "polars": {}, "DuckDB": {}}
for curve in curves:
    channel, column = curve.split("/", 1)
    path = f"{folder}/{channel}.parquet"

    frame = pandas.read_parquet(path)
    found["pandas"][curve] = {
        "time_ns": frame["log_time"].astype("datetime64[ns, UTC]").astype("int64").tolist(),
        "value": frame[column].tolist(),
        "unit": frame.attrs["units"].get(column, ""),
    }
    table = polars.read_parquet(path)
    found["polars"][curve] = {
        "time_ns": table["log_time"].dt.timestamp("ns").to_list(),
        "value": table[column].to_list(),
        "unit": json.loads(polars.read_parquet_metadata(path)["units"]).get(column, ""),
    }
    rows = duckdb.sql(f"""SELECT epoch_ns(log_time), "{column}" FROM '{path}'""").fetchall()
    said = duckdb.sql(f"SELECT decode(value) FROM parquet_kv_metadata('{path}') WHERE decode(key) = 'units'")
    found["DuckDB"][curve] = {
        "time_ns": [time for time, _ in rows],
        "value": [value for _, value in rows],
        "unit": json.loads(said.fetchall()[0][0]).get(column, ""),
    }
versions = {"pandas": pandas.__version__, "polars": polars.__version__, "DuckDB": duckdb.__version__}
for name, read in found.items():
    print(json.dumps({"reader": f"{name} {versions[name]}", "curves": read}))
