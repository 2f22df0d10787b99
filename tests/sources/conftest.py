"""One call to ingest a log in tmp_path."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from recsys import artifacts, sources
from recsys.progress import Console
from tests.sources.logs import COLUMNS, Ingested, make_pipeline


@pytest.fixture
def ingest(tmp_path: Path) -> Callable[..., Ingested]:
    """`ingest(log=…, …)` of a table source in tmp_path, with the columns of `make_log`; `features` as in the TOML."""

    def run(
        log: str | Path = "log.csv",
        *,
        features: Mapping[str, Any] | None = None,
        to: str = "out",
        console: Console | None = None,
        **source: Any,
    ) -> Ingested:
        source = {"kind": "table", "log": tmp_path / log, "columns": COLUMNS, **source}
        folder = tmp_path / to
        options = artifacts.fingerprint([source, features])
        account = sources.ingest(
            make_pipeline(source, features), folder, options=options, fingerprint="f", console=console or Console(quiet=True)
        )
        return Ingested(folder, account)

    return run
