"""MovieLens as its releases are unpacked (Harper and Konstan, TiiS 2015). Columns of one meaning have one name in all of them.

| release | log | movies | users |
|---|---|---|---|
| 100K | u.data, tabs | u.item, bars, Latin-1, a column of 0 and 1 per genre | u.user, bars |
| 1M, 10M | ratings.dat, `::` | movies.dat, `::`, genres joined by bars; 1M in Latin-1 | users.dat, `::`, in 1M alone |
| 20M, 25M, 32M, latest | ratings.csv, whose header says userId and movieId | movies.csv, genres joined by bars | none |

A row is a rating. Nobody logged what a user saw and did not rate.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys.config import Columns, FileFormat, MovieLensSource, TimeOptions
from recsys.errors import data_error
from recsys.sources.description import ITEMS, LOG, USERS, Description
from recsys.sources.raw_source import GivenFiles
from recsys.sources.staging import TableFiles

_RATING = ("user_id", "movie_id", "rating", "timestamp")
_MOVIE = ("movie_id", "title", "genres")
GENRES = (
    *("unknown", "action", "adventure", "animation", "children", "comedy", "crime", "documentary", "drama", "fantasy"),
    *("film_noir", "horror", "musical", "mystery", "romance", "sci_fi", "thriller", "war", "western"),
)  # of 100K, in the order of u.item's columns
_Layout = Mapping[str, tuple[str, Mapping[str, Any]]]  # role → the file, and how it is written
_UNNAMED: Mapping[str, Any] = {"header": False, "quote": ""}
_BARS, _COLONS = {**_UNNAMED, "separator": "|"}, {**_UNNAMED, "separator": "::"}
_LAYOUTS: tuple[_Layout, ...] = (
    {
        LOG: ("u.data", {**_UNNAMED, "separator": "\t", "names": _RATING}),
        ITEMS: (
            "u.item",
            {**_BARS, "encoding": "latin-1", "names": ("movie_id", "title", "release_date", "video_release_date", "imdb_url", *GENRES)},
        ),
        USERS: ("u.user", {**_BARS, "names": ("user_id", "age", "gender", "occupation", "zip_code")}),
    },
    {
        LOG: ("ratings.dat", {**_COLONS, "names": _RATING}),
        ITEMS: ("movies.dat", {**_COLONS, "names": _MOVIE}),
        USERS: ("users.dat", {**_COLONS, "names": ("user_id", "gender", "age", "occupation", "zip_code")}),
    },
    {
        LOG: ("ratings.csv", {"separator": ","}),
        ITEMS: ("movies.csv", {"separator": ","}),
    },
)


class MovieLens(GivenFiles[MovieLensSource]):
    def files(self) -> Description:
        """Describe the release in the source's folder. Raises DataError where the folder holds none."""
        folder = self.options.path
        tables = {role: self._table(role, folder / name, written) for role, (name, written) in _layout(folder).items()}
        has_users = USERS in tables and any(path.exists() for path in tables[USERS].patterns)
        return Description(
            log=tables[LOG],
            users=tables[USERS] if has_users else None,  # 10M is in the layout of 1M, without its users
            items=tables[ITEMS],
            columns=Columns(user_id="userId", item_id="movieId") if tables[LOG].written.header else Columns(item_id="movie_id"),
            time=TimeOptions(unit="s", zone=self.options.zone),
        )

    def _table(self, role: str, path: Path, written: Mapping[str, Any]) -> TableFiles:
        if path.name == "movies.dat" and (path.parent / "users.dat").exists():
            written = {**written, "encoding": "latin-1"}  # 10M is in UTF-8
        return TableFiles(role, (path,), written=FileFormat.model_validate(written))


def _layout(folder: Path) -> _Layout:
    for layout in _LAYOUTS:
        if (folder / layout[LOG][0]).is_file():
            return layout
    raise data_error(
        str(folder),
        found="no ratings of MovieLens",
        expected=f"a folder with {' or '.join(layout[LOG][0] for layout in _LAYOUTS)}",
        fix="unpack a release, and give its own folder, such as ml-100k",
    )
