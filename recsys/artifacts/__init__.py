"""The only code that writes or reads a stage's output.

An artifact is a folder with a `_manifest.json`, or one file with its manifest beside it (`_manifest.FILE.json`).
"""

from recsys.artifacts.manifests import MANIFEST, Manifest, RowAccount, fingerprint, manifest, versions
from recsys.artifacts.read import is_fresh, read_json, read_schema, read_table, verify
from recsys.artifacts.write import Origin, Output, copy, copy_file, remove, write_file, write_json, writing

__all__ = [
    "MANIFEST",
    "Manifest",
    "Origin",
    "Output",
    "RowAccount",
    "copy",
    "copy_file",
    "fingerprint",
    "is_fresh",
    "manifest",
    "read_json",
    "read_schema",
    "read_table",
    "remove",
    "verify",
    "versions",
    "write_file",
    "write_json",
    "writing",
]
