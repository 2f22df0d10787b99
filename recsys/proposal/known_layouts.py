"""Folders of public datasets that a kind of source reads as they were published: nothing has to be guessed there."""

from collections.abc import Sequence
from pathlib import Path

from recsys.errors import data_error

_LAYOUTS = (
    ("kuairand", ("log_standard_*.csv*", "video_features_basic_*.csv*")),
    ("kuairec", ("*_matrix.csv*", "item_categories.csv*")),
    ("open_bandit", ("*/*/item_context.csv*",)),
    ("movielens", ("u.data", "u.item")),
    ("movielens", ("ratings.dat", "movies.dat")),
    ("movielens", ("ratings.csv", "movies.csv")),
)  # kind, and the files that tell it
_TABLES = (".csv", ".tsv", ".parquet", ".gz", ".json")  # beside such files, a subfolder data/ is not looked into


def raise_where_known(paths: Sequence[Path]) -> None:
    """Raise DataError where a path is the folder of such a dataset, which holds several tables and no log in parts, or is a TOML."""
    for path in paths:
        if path.suffix.lower() == ".toml" and path.is_file():
            raise data_error(
                str(path), found="a TOML, as init writes it", expected="a log", fix=f"name the log; recsys check {path} looks at a pipeline"
            )
    for path in filter(Path.is_dir, paths):
        has_tables = any(child.suffix in _TABLES for child in path.iterdir())
        for folder in (path,) if has_tables else (path, path / "data"):
            kind = next((kind for kind, patterns in _LAYOUTS if all(any(folder.glob(pattern)) for pattern in patterns)), None)
            if kind is not None:
                raise data_error(
                    str(path),
                    found=f"the files of {kind} as they are published",
                    expected="one log, in one file or in parts",
                    fix=f'write a TOML with kind = "{kind}" and path = "{path}" under [source]; pipelines/ and docs/config.md show how.'
                    " Or name its files one by one",
                )
