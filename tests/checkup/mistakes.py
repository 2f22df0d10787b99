"""All single mistakes of the small pipeline (edits.py), and some that are made together."""

from tests.checkup.warned import WARNED
from tests.checkup.wrong_config import CONFIG
from tests.checkup.wrong_data import DATA

MISTAKES = CONFIG | DATA | WARNED
TOGETHER = [  # the mistakes of each case touch different places
    ("a key misspelt", "a split in another year"),
    ("times in seconds", "a label that is never true"),
    ("times in seconds", "a split in another year", "a label of an unknown column", "an unknown entity"),
    ("an unknown zone", "a label that is never true", "no such file"),
    ("a label that is no SQL", "a signal of text", "an empty file"),
    ("a wrong duration", "a column of the log among the item's", "words among numbers"),
    ("a column that the log lacks", "a label twice", "a user twice", "a feedback without its column"),
    ("a label as a feature", "a column of the items among the user's", "torn rows", "another encoding", "an unknown device"),
    ("a kind that there is not", "a label that is neither 0 nor 1", "a packed file by another name"),
    ("a list without brackets", "scores in no file", "a label that is never true"),
    ("no window", "a label and its complement", "ids that lost digits"),
    ("a fusion of nothing", "a feature that tells the label", "users without an id"),
    ("a feature that tells the label", "a label that is nowhere known", "two users on the test day"),
    ("parts that overlap", "no such file"),
    ("a source column misspelt", "an unknown entity", "a scalar of a wrong kind"),
    ("a name twice", "an unknown device", "no such file"),
    ("a comment above the header", "a key misspelt"),
    ("rows that are wider than the header", "a key misspelt"),
    ("a key misspelt", "an unknown zone", "an aggregate as a label", "a log without a header", "an empty file"),
]
