"""KuaiRec 2.0 in its official layout (Gao et al., CIKM 2022): one of the two matrices, with its users and videos.

Facts about the files: `timestamp` is in seconds, with a fraction. Some rows of the small matrix have none; they go to quarantine, so that
it needs a `max_bad` of its own. `feat` of a video is a list in brackets. −124 is read as "unknown" in the user features, because KuaiRand,
from the same app, writes it so. item_daily_features.csv counts what happened to a video on each day, the test days among them, so it is
never read.
"""

from recsys.config import Columns, KuaiRecSource, TimeOptions
from recsys.sources.description import ITEMS, LOG, USERS, Description
from recsys.sources.raw_source import GivenFiles
from recsys.sources.staging import TableFiles


class KuaiRec(GivenFiles[KuaiRecSource]):
    def files(self) -> Description:
        """Describe the files in the source's folder, or in its official subfolder `data/` where there is one."""
        source = self.options
        folder = source.path / "data" if (source.path / "data").is_dir() else source.path
        return Description(
            log=TableFiles(LOG, (folder / f"{source.matrix}_matrix.csv*",)),
            users=TableFiles(USERS, (folder / "user_features.csv*",), nulls=("-124",)),
            items=TableFiles(ITEMS, (folder / "item_categories.csv*",)),
            columns=Columns(user_id="user_id", item_id="video_id", timestamp="timestamp"),
            time=TimeOptions(unit="s", zone=source.zone),
        )
