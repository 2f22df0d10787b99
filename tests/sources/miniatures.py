"""The same small log as the files of every kind of source, in the exact layout of each: names, separators, encodings, headers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

START = 1_704_103_200_000  # 2024-01-01 10:00 UTC
TABLE = {"kind": "table", "columns": {"user_id": "uid", "item_id": "vid", "timestamp": "ts", "position": "slot"}}


def small_log(names: dict[str, str]) -> pd.DataFrame:
    """300 impressions over three days, 12 of them twice, and 2 that cannot be used."""
    n = np.arange(300)
    log = pd.DataFrame(
        {"user": n % 17, "item": n * 7 % 31, "time": START + n * 700_000, "slot": 1 + n % 10, "is_click": n % 3 == 0, "watch": n / 8}
    )
    log = pd.concat([log, log.iloc[::25]]).astype({"is_click": int, "user": "Int64"})
    log.loc[log.index == 7, "user"] = pd.NA
    log.loc[log.index == 8, "time"] = 5
    return log.sample(frac=1, random_state=3).rename(columns=names)


def write_csv(folder: Path, log: pd.DataFrame, name: str = "log", suffix: str = ".csv") -> None:
    log.to_csv(folder / f"{name}{suffix}", index=False, sep="\t" if ".tsv" in suffix else ",")


def table(suffix: str) -> Callable[[Path], dict[str, object]]:
    def write(folder: Path) -> dict[str, object]:
        log = small_log({"user": "uid", "item": "vid", "time": "ts"})
        logs = folder / "logs"
        logs.mkdir()
        if suffix == ".parquet":
            log.to_parquet(logs / "log.parquet", index=False)
        else:
            write_csv(logs, log, suffix=suffix)
        pd.DataFrame({"uid": range(17), "age": range(17)}).to_csv(folder / "users.csv", index=False)
        return {**TABLE, "log": logs, "users": folder / "users.csv"}

    return write


def kuairand(folder: Path) -> dict[str, object]:
    log = small_log({"user": "user_id", "item": "video_id", "time": "time_ms", "slot": "tab", "watch": "play_time_ms"})
    data = folder / "KuaiRand-Pure" / "data"
    data.mkdir(parents=True)
    write_csv(data, log.iloc[:150], "log_standard_4_08_to_4_21_pure")
    write_csv(data, log.iloc[150:], "log_standard_4_22_to_5_08_pure")
    pd.DataFrame({"user_id": range(17), "is_live_streamer": [-124, 1] * 8 + [0], "fans_user_num_range": "[10,100)"}).to_csv(
        data / "user_features_pure.csv", index=False
    )
    pd.DataFrame({"video_id": range(31), "upload_dt": "2022-04-10", "tag": "12,65"}).to_csv(
        data / "video_features_basic_pure.csv", index=False
    )
    return {"kind": "kuairand", "path": folder / "KuaiRand-Pure"}


def kuairec(folder: Path) -> dict[str, object]:
    log = small_log({"user": "user_id", "item": "video_id", "slot": "video_duration", "watch": "watch_ratio"})
    log["timestamp"] = log.pop("time") / 1000 + 0.123
    log["time"] = pd.to_datetime(log["timestamp"], unit="s").astype(str)
    data = folder / "KuaiRec 2.0" / "data"
    data.mkdir(parents=True)
    write_csv(data, log, "big_matrix")
    write_csv(data, log.iloc[:5], "small_matrix")
    pd.DataFrame({"user_id": range(17), "user_active_degree": "high_active", "onehot_feat0": 1}).to_csv(
        data / "user_features.csv", index=False
    )
    pd.DataFrame({"video_id": range(31), "feat": "[27, 9]"}).to_csv(data / "item_categories.csv", index=False)
    pd.DataFrame({"video_id": [0], "date": [20200705], "play_cnt": [9]}).to_csv(data / "item_daily_features.csv", index=False)
    return {"kind": "kuairec", "path": folder / "KuaiRec 2.0"}


def movielens(release: str) -> Callable[[Path], dict[str, object]]:
    """A release in its own layout: the names of its files, their separators and encodings, headers or none."""

    def write(folder: Path) -> dict[str, object]:
        folder = folder / release
        folder.mkdir()
        log = small_log({})
        log["time"] = np.where(log["time"] == 5, 5, log["time"] // 1000)
        log["rating"] = 1 + log["slot"] % 5
        ratings = [
            ["" if pd.isna(cell) else cell for cell in row] for row in log[["user", "item", "rating", "time"]].itertuples(index=False)
        ]
        genres = [[str(int(n == item % 19)) for n in range(19)] for item in range(31)]
        if release == "ml-100k":
            write_lines(folder / "u.data", "\t", ratings)
            movies = [[item, f'"Café, {item}" (1995)', "01-Jan-1995", "", "http://x", *genres[item]] for item in range(31)]
            write_lines(folder / "u.item", "|", movies, encoding="latin-1")
            write_lines(folder / "u.user", "|", [[user, 24, "M", "technician", "0123" + str(user)] for user in range(17)])
        elif release in ("ml-1m", "ml-10M100K"):
            write_lines(folder / "ratings.dat", "::", ratings)
            movies = [[item, f"Café: {item} (1995)", "Drama|War"] for item in range(31)]
            write_lines(folder / "movies.dat", "::", movies, encoding="latin-1" if release == "ml-1m" else "utf-8")
            if release == "ml-1m":
                write_lines(folder / "users.dat", "::", [[user, "F", 25, 7, "0123" + str(user)] for user in range(17)])
        else:
            write_lines(folder / "ratings.csv", ",", [["userId", "movieId", "rating", "timestamp"], *ratings])
            movies = [["movieId", "title", "genres"], *([item, f'"Café, {item} (1995)"', "Drama|War"] for item in range(31))]
            write_lines(folder / "movies.csv", ",", movies)
        return {"kind": "movielens", "path": folder}

    return write


def write_lines(path: Path, separator: str, rows: list[list[object]], encoding: str = "utf-8") -> None:
    path.write_text("".join(f"{separator.join(map(str, row))}\n" for row in rows), encoding=encoding)


def open_bandit(folder: Path) -> dict[str, object]:
    log = small_log({"item": "item_id", "time": "timestamp", "slot": "position", "is_click": "click", "watch": "user-item_affinity_0"})
    log["timestamp"] = pd.to_datetime(log["timestamp"], unit="ms", utc=True).map(lambda time: time.isoformat(sep=" "))
    log["user"] = log.index.to_series().where(log["user"].notna()).astype("Int64")  # a row's number, but where the log has no user
    log["propensity_score"] = 1 / 31
    log = log[["user", *(name for name in log.columns if name != "user")]].rename(columns={"user": ""})
    data = folder / "open_bandit_dataset" / "bts" / "men"
    data.mkdir(parents=True)
    write_csv(data, log, "men")
    items = pd.DataFrame({"": range(31), "item_id": range(31), "item_feature_0": 0.5, "item_feature_1": "a1"})
    items.to_csv(data / "item_context.csv", index=False)
    return {"kind": "open_bandit", "path": folder / "open_bandit_dataset", "policy": "bts", "campaign": "men"}


def events(folder: Path) -> dict[str, object]:
    log = small_log({"user": "uid", "item": "vid", "time": "ts"}).assign(did="view")  # no two within ten minutes: all are impressions
    write_csv(folder, log)
    columns = {"user_id": "uid", "item_id": "vid", "timestamp": "ts", "position": "slot", "action": "did"}
    return {"kind": "events", "log": folder / "log.csv", "columns": columns, "views": ["view"], "feedback": [{"name": "buy"}]}


def world(folder: Path) -> dict[str, object]:
    return {"kind": "world", "users": 60, "days": 3, "videos": 40}


SOURCES = {
    "csv": table(".csv"),
    "tsv.gz": table(".tsv.gz"),
    "parquet": table(".parquet"),
    "events": events,
    "kuairand": kuairand,
    "kuairec": kuairec,
    **{release: movielens(release) for release in ("ml-100k", "ml-1m", "ml-10M100K", "ml-25m")},
    "open_bandit": open_bandit,
    "world": world,
}
