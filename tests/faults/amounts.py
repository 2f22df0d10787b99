"""How many faults are made: some for every commit, many by `make faults`."""

import os

MANY = os.environ.get("FAULTS") == "many"
SIGKILLS, SIGTERMS = (100, 20) if MANY else (10, 5)
PARTS = (0, 1, 2, 3) if MANY else (0, 2)  # of the moments at which a job dies: every fourth, from the first or the third on
NIGHT_PARTS = PARTS if MANY else (1,)  # of those of a night in time order, which take as long again
ROUNDS = 4 if MANY else 1  # of six contests each
FILES, EXPRESSIONS = (800, 2_500) if MANY else (200, 600)  # that are drawn at random, per test
DISKS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.95) if MANY else (0.05, 0.2, 0.5, 0.7, 0.95)  # shares of what a whole run takes
