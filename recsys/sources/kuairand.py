"""KuaiRand in its official layout (Gao et al., CIKM 2022): Pure, 1K or 27K, whichever files lie in the folder.

Facts about the files: `date` and `hourmin` disagree with `time_ms`, so time is read from `time_ms`. −124 means "unknown" in the
user features. The monthly statistics (video_features_statistic_*) average over the test days, so they are never read.
"""

from recsys.config import Columns, KuaiRandSource, TimeOptions
from recsys.sources.description import ITEMS, LOG, USERS, Description
from recsys.sources.raw_source import GivenFiles
from recsys.sources.staging import TableFiles

UNKNOWN = "-124"
_LOG, _RANDOM, _USERS, _ITEMS = "log_standard_*", "log_random_*", "user_features_*", "video_features_basic_*"


class KuaiRand(GivenFiles[KuaiRandSource]):
    def files(self) -> Description:
        """Describe the files in the source's folder, or in its official subfolder `data/` where there is one."""
        source = self.options
        folder = source.path / "data" if (source.path / "data").is_dir() else source.path
        return Description(
            log=TableFiles(LOG, tuple(folder / f"{name}.csv*" for name in ((_LOG, _RANDOM) if source.random else (_LOG,)))),
            users=TableFiles(USERS, (folder / f"{_USERS}.csv*",), nulls=(UNKNOWN,)),
            items=TableFiles(ITEMS, (folder / f"{_ITEMS}.csv*",), nulls=(UNKNOWN,)),
            columns=Columns(user_id="user_id", item_id="video_id", timestamp="time_ms"),
            time=TimeOptions(unit="ms", zone=source.zone),
        )
