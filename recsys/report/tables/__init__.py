"""The tables of the pages and of the terminal, which show the same frame."""
