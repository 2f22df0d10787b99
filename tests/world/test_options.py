"""Options that no world can be made of are refused where they are written."""

from datetime import date

import pytest
from pydantic import ValidationError

from recsys.config import WorldOptions


@pytest.mark.parametrize(("videos", "slots"), [(10, 10), (3, 5)])
def test_a_page_needs_more_videos_than_slots(videos, slots):
    with pytest.raises(ValidationError, match=f"found {videos}, expected more than slots = {slots}"):
        WorldOptions(videos=videos, slots=slots)


@pytest.mark.parametrize("start", [date(1999, 12, 31), date(2100, 1, 1)])
def test_the_first_day_is_one_that_a_log_can_have(start):
    with pytest.raises(ValidationError, match="start"):
        WorldOptions(start=start)
