"""The command line, with embedding tables of any size taken for large ones: python -m tests.pipelines.large_tables ARGUMENTS."""

from recsys.cli import main
from recsys.nn import embeddings

embeddings.DENSE_ROWS = 0
main()
