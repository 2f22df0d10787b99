"""Nights of a log whose users change each day."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys import artifacts
from recsys.cli import run_command

from .conftest import SMALL_LOG

DAYS = [f"2024-03-0{day}" for day in range(1, 7)]
TOML = SMALL_LOG.replace('log = "log.csv"', 'log = "log"\nusers = "users-{day}.csv"').replace(
    '[split]\ntrain = ["2024-03-01", "2024-03-01"]\ntest = ["2024-03-02", "2024-03-02"]',
    f'[split]\ntrain = ["{DAYS[0]}", "{DAYS[2]}"]\ntest = ["{DAYS[3]}", "{DAYS[3]}"]',
).replace("[features]", '[train]\norder = "time"\nwarm_days = 2\n[features]\nuser = ["mood"]\nids = ["item_id"]')  # fmt: skip


def write_day(folder: Path, place: int) -> None:
    rng, rows = np.random.default_rng(place), 200
    stamp = 1_709_251_200_000 + 86_400_000 * place + 1000 * np.arange(rows)
    columns = {"user_id": rng.integers(0, 20, rows), "item_id": rng.integers(0, 12, rows), "timestamp": stamp}
    (folder / "log").mkdir(exist_ok=True)
    pd.DataFrame(columns | {"clicked": rng.integers(0, 2, rows)}).to_csv(folder / "log" / f"{DAYS[place]}.csv", index=False)
    users = {"user_id": range(20), "mood": rng.choice(["calm", "merry", "cross"], 20)}
    pd.DataFrame(users).to_csv(folder / f"users-{DAYS[place]}.csv", index=False)
    (folder / "small.toml").write_text(TOML, encoding="utf-8")


def night(folder: Path, workspace: str, place: int) -> int:
    words = ["--through", DAYS[place], "--run", f"night-{place}", "--until", "evaluate", "--log", "json"]
    return run_command(["run", str(folder / "small.toml"), "--workspace", str(folder / workspace), *words])


@pytest.mark.words
def test_a_night_makes_its_own_day_although_all_users_have_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in range(3):
        write_day(tmp_path, place)
    for place in range(3, 6):
        write_day(tmp_path, place)
        capsys.readouterr()
        assert night(tmp_path, "nights", place) == 0
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        made = {event["stage"]: event["made"] for event in events if event.get("event") == "stage"}
        if place > 3:
            assert made["features"] == [DAYS[place]]
            assert made["encode"] == [DAYS[place]]
            assert not any("reads all" in event.get("message", "") for event in events)
    assert night(tmp_path, "at once", 5) == 0
    found = []
    for workspace in ("nights", "at once"):
        run = tmp_path / workspace / "small" / "runs" / "night-5"
        days = sorted((tmp_path / workspace / "small").glob("encoded/*/day=*"))
        found.append(
            [artifacts.verify(path).content for path in (*days, run / "model")]
            + [(run / name).read_bytes() for name in ("training.jsonl", "predictions.parquet")]
        )
    assert found[0] == found[1]
    assert len(found[0]) > 7
