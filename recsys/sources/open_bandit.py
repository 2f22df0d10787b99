"""Open Bandit in its official layout (Saito et al., NeurIPS 2021): POLICY/CAMPAIGN/CAMPAIGN.csv, with item_context.csv beside it.

Facts about the files: they name no users, so each row is its own user. Its user id is the row's number in the unnamed first column. So
an interval over users is one over impressions. A time carries its offset, +00:00, and the seven days of a campaign are whole days in
UTC. item_feature_1 to 3 are hashed anew in each log and match no other log's; item_id and all other columns do match.
"""

from recsys.config import Columns, OpenBanditSource, TimeOptions
from recsys.sources.description import ITEMS, LOG, Description
from recsys.sources.raw_source import GivenFiles
from recsys.sources.staging import TableFiles

_ROW = "unnamed_0"  # our name for a column whose header is empty


class OpenBandit(GivenFiles[OpenBanditSource]):
    def files(self) -> Description:
        """Describe one campaign's log under one policy, with the propensity of each choice, and the campaign's items."""
        source = self.options
        folder = source.path / source.policy / source.campaign
        return Description(
            log=TableFiles(LOG, (folder / f"{source.campaign}.csv*",)),
            users=None,
            items=TableFiles(ITEMS, (folder / "item_context.csv*",)),
            columns=Columns(user_id=_ROW, item_id="item_id", timestamp="timestamp", position="position", propensity="propensity_score"),
            time=TimeOptions(unit="iso", zone=source.zone),
        )
