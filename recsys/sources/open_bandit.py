"""Open Bandit in its official layout (Saito et al., NeurIPS 2021): POLICY/CAMPAIGN/CAMPAIGN.csv, with item_context.csv beside it.

Facts of the files: nobody is named in them, so a row is its own user, by the number that the file gives it in its unnamed first
column (an interval over users is then one over impressions); a time carries its offset, +00:00, and the seven days of a campaign are
whole in UTC; item_feature_1 to 3 are hashed anew in each log and match no other's, while item_id and all else do.
"""

from recsys.config import Columns, OpenBanditSource, TimeOptions
from recsys.sources.description import ITEMS, LOG, Description
from recsys.sources.staging import TableFiles

_ROW = "unnamed_0"  # how a header without a name is called


def describe(source: OpenBanditSource) -> Description:
    """One campaign's log under one policy, with the probability of each choice, and the campaign's items."""
    folder = source.path / source.policy / source.campaign
    return Description(
        log=TableFiles(LOG, (folder / f"{source.campaign}.csv*",)),
        users=None,
        items=TableFiles(ITEMS, (folder / "item_context.csv*",)),
        columns=Columns(user_id=_ROW, item_id="item_id", timestamp="timestamp", position="position", propensity="propensity_score"),
        time=TimeOptions(unit="iso", zone="UTC"),
    )
