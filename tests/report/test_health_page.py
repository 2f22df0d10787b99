"""The page of a log's health: what its figures draw."""

import json
import re

import pandas as pd
import pyarrow as pa
import vl_convert

from recsys import schema
from recsys.report import write_health


def test_a_number_of_one_day_is_drawn_too(tmp_path) -> None:
    days = {"click": ["2024-01-04", "2024-01-05"], "like": ["2024-01-05"]}
    rows = pd.DataFrame([{"day": day, "column": name} for name, of in days.items() for day in of])
    rows = rows.assign(check="base_rate", value=[0.21, 0.22, 0.03], usual=[0.2, 0.2, 0.02], low=0.01, high=0.5, verdict=schema.USUAL)
    table = pa.Table.from_pandas(rows.assign(reason=None), schema=schema.HEALTH, preserve_index=False)
    write_health(tmp_path / "health.html", table, "p", {"Log": "table"}, fingerprint="f")
    html = (tmp_path / "health.html").read_text(encoding="utf-8")
    (spec,) = json.loads(re.search(r'<script id="figures" type="application/json">(.*?)</script>', html)[1]).values()
    drawn = vl_convert.vegalite_to_svg({"width": 300, **{key: value for key, value in spec.items() if key != "width"}})
    ticks = re.findall(r'aria-label="([^"]*)" role="graphics-symbol" aria-roledescription="tick"', drawn)
    assert ["column: like" in each for each in ticks] == [True], "a line of one day is nothing to see"
