"""[tracking]: where finished runs are kept for people who look at many."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from recsys.options import Options

SQLITE = "sqlite:///"  # how the address of a database on this machine begins; behind it stands its path


class Tracking(Options):
    """A run of MLflow for each run that has a page."""

    mlflow: str | None = Field(
        default=None,
        description="Address of the MLflow store: `sqlite:///FILE`, or that of a server; without it, nothing is tracked.",
    )
    experiment: str | None = Field(default=None, min_length=1, description="Name of the experiment; without it: the pipeline's name.")

    @field_validator("mlflow")
    @classmethod
    def _a_file_or_a_server(cls, address: str | None) -> str | None:
        """Raise ValueError for other stores, and for a password: a run's options are written into its folder, and into the store."""
        if address is None:
            return None
        if not address.startswith((SQLITE, "http://", "https://")) or address == SQLITE:
            raise ValueError("found another address, expected sqlite:///FILE, or the http address of a server")
        if urlsplit(address).password is not None:
            raise ValueError("found a password, expected none: it would be written into each run. Fix: MLFLOW_TRACKING_PASSWORD")
        return address
