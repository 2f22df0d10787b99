"""docs/glossary.md, which this module prints."""

import sys

from recsys.report.glossary import terms

COMMAND = "python -m recsys.report.glossary_page > docs/glossary.md"
INTRODUCTION = (
    "This page says what the words mean here, and what others call the same thing. Names of options are in `code`."
    " [Every option](config.md) is described on a page of its own, and [Reading the report](reading-the-report.md) has the formula of each"
    " number. The table is also at the end of every report page."
)


def glossary() -> str:
    """Return docs/glossary.md."""
    rows = [("term", "also called", "meaning here"), ("---",) * 3, *((each.name, each.also, each.meaning) for each in terms())]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(["# Glossary", "", INTRODUCTION, "", *lines, ""])


if __name__ == "__main__":
    sys.stdout.write(glossary())
