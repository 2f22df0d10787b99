"""Tell from the name of a column its role, and whether it is known before the impression."""

import re

from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.watched_share import is_called_watched_share

_ID = r"(_?(id|key|no|nr|number|code|hash|idx|index))?(_(clean|raw|anon|hashed|encoded))?"
USER = (
    r"(.*_)?(user|uid|usr|member|visitor|customer|account|viewer|reader|listener|client|shopper|person)"
    rf"(_?(pseudo(nymous)?|anon(ymous)?|hashed))?{_ID}"
)
ITEM = (
    r"(.*_)?(item|vid|video|movie|film|article|news|product|prod|sku|asin|ad|post|clip|doc|document|content|song|track|goods|business|book"
    rf"|game|listing|offer|hotel|recipe|photo){_ID}|aid"
)
SESSION = r"(.*_)?(session|visit)(_?(id|key|no|hash))?"
IMPRESSION = r"(.*_)?(impression|impr|imp)_?(id|key|no)"
REQUEST = rf"(.*_)?(request|req|session|page_?view|slate|query|search|srch|impression_list)(_?(id|key|no))?|{IMPRESSION}"
POSITION = r"(.*_)?(position|pos|rank|slot|place)"
COUNTER = (
    rf"{POSITION}|(.*_)?(step|index|counter|turn|depth|offset)|row(_?(id|no|nr|number))?"
    r"|(.*_)?(hour|minute|second|day|weekday|week|month|year)(_of_(day|week|month|year))?"
)  # of a list, a session, a file or the calendar
ACTION = r"(.*_)?(action|interaction|event|behaviou?r|activity|operation)(_?(type|name|kind|code))?"
OPINION = r"(.*_)?(reaction|feedback|thumbs?|vote|opinion)s?(_(type|kind|name))?"
PROPENSITY = r"(.*_)?(propensity|pscore)(_score)?"
_VIEWS = r"pv|views?|.*_view|view_.*|impressions?|impr|shown?|expos(ure|ed)|browse|detail"
ACTIONS = (
    rf"{_VIEWS}|clicks?|.*cart.*|buy|bought|purchased?|order(ed)?|transaction|fav(ou?rite)?|likes?|share|save|collect|wish.*|comment|play"
)
_ENGAGED = (
    r"click|chosen|view(?!port)|open|read(?!y|able)|play(?!list|able)|cart|buy|bought|order|purchase|conv|install|download|comment|profile|enter|visit|visible|watched"
    r"|started|finished|completed|clk|book(ed|ing)|repl(y|ied)"
)
_SATISFIED = (
    r"like(?!ly|lihood)|love|heart|fav|follow|save|share(?!able)|forward|subscrib|survey|satisf|stars?(_|$)|starred|rating|collect|recommend|thumb(?!nail)|wish"
    r"|bookmark|add(ed)?_to_(?!cart|basket|bag)|retweet|repost|up_?vote"
)
_REGRETTED = (
    r"not_interested|unlike|unfollow|hate|dislike|dismiss|skip|report|hide|complain|unsubscrib|block|negative|refund|return|bounce"
    r"|thumbs?_?down|vote_down|down_?vote"
)
_DENIED = r"(not|non|no|did_not)_(?!interested)"
TOLD = rf"(^|_)({_ENGAGED}|{_SATISFIED}|{_REGRETTED})"
RELATION = r".*(^|_)(follows|subscribes_to|knows|owns)_.+"  # of a user to another one or to a thing, before the impression
DURATION = (
    r".*(watch|play|dwell|stay|spent|view|read|listen|engage|(?<!in)active|consum)\w*_?(time|sec|seconds|ms|duration|length)\w*"
    r"|watch(ed)?|dwell|.*_seconds|(.*_)?time_on_(page|site|screen|item|article|content|video|post|ad|card)"
    r"|(.*_)?(watch|play|dwell|stay|spent|view|read|listen)(ed|ing)?_(s|min|mins|minutes|h|hours)"
    r"|(.*_)?(ms|msec|millis|sec|secs|seconds|min|mins|minutes|time)_(watch|play|dwell|stay|spent|view|read|listen|engage)\w*"
)
LIFETIME = r"(^|_)(forever|lifetime|total|overall|cumulative|cum|so_far|all_time|ever|to_date|\d+_?(weeks?|months?|days?))(_|$)"
STARS = r"(.*_)?(rating|star)s?"
RATING = rf"{STARS}|(.*_)?(score|grade)s?"
CONTEXT = frozenset(
    (
        *("tab", "page", "surface", "device", "network", "platform", "os", "channel", "source", "section", "refresh"),
        *("scene", "campaign", "country", "city", "region", "lang", "language", "browser", "app", "placement", "module"),
        *("category", "class", "type", "brand", "publisher", "author", "genre", "topic", "query", "weekday", "connection"),
        *("carrier", "version", "hour"),
    )
)  # parts of the name of a column that is known before the impression
AFTER = frozenset(
    (
        *("next", "after", "exit", "played", "dwell", "count", "cnt", "num", "number", "total", "time", "times", "duration"),
        *("result", "outcome", "status", "paid", "price", "revenue", "amount", "purchase", "purchased", "applied", "views"),
        *("clicks", "plays", "completed", "converted", "score", "rate", "ctr", "cvr", "avg", "mean", "sum", "rating"),
        *("ratings", "reason", "end", "last"),
    )
)  # parts of the name of one that is not, or that counts over days that are still to come
_KNOWN = frozenset(("duration", "time", "price"))  # of items: their length, their price, and when they came
_SPENT = r"(^|_)(watch|dwell|stay|spent|listen|engag)"
_MEASURED = (AFTER - {"number"}) | {"seconds", "secs", "ms", "minutes", "length", "percent", "ratio", "quantity", "qty", "cost"}


def is_called(column: ColumnFacts, pattern: str) -> bool:
    return re.fullmatch(pattern, column.words) is not None


def counts_later(column: ColumnFacts, role: str) -> bool:
    """Return whether the name says that a column of users or items counts what happened, perhaps on days that are still to come.

    The length, the price and the times of an item are known before. So is a moment of a user's, but not the time that one has spent.
    """
    of_user = {"time"} if column.time is not None else set[str]()
    known = _KNOWN if role == "items" else of_user
    if is_called_watched_share(column):
        return True
    return bool(set(column.words.split("_")) & (AFTER - known)) or re.search(rf"{TOLD}|{_SPENT}", column.words) is not None


def says_outcome(column: ColumnFacts) -> bool:
    """Return whether the name says that a column measures or counts something, so that its values are no ids, however they look."""
    if is_called(column, r".*_(id|key|code|hash)"):
        return False
    is_outcome = is_called(column, rf"{DURATION}|{RATING}") or re.search(_SPENT, column.words) is not None
    return is_outcome or bool(set(column.words.split("_")) & _MEASURED)


def is_view(word: str) -> bool:
    return re.fullmatch(_VIEWS, re.sub(r"[^a-z]+", "_", word.lower())) is not None


def is_regretted(name: str) -> bool:
    """Return whether less of it is better: a regret, or a denial of what is none, as `not_clicked`. A regret that is denied is none."""
    return (re.search(rf"(^|_)({_REGRETTED})", name) is not None) != (re.match(_DENIED, name) is not None)


def is_satisfaction(name: str) -> bool:
    return re.search(rf"(^|_)({_SATISFIED}|{_REGRETTED})", name) is not None
