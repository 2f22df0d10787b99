"""The figures of the pages, as Vega-Lite specifications."""
