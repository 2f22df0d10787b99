"""`python -m recsys …` is the same as `recsys …`."""

from recsys.cli import main

main()
