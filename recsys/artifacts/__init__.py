"""The only code that writes or reads a stage's output.

An artifact is a folder with a `_manifest.json`, or one file with its manifest beside it (`_manifest.FILE.json`).
"""

from recsys.artifacts.manifests import MANIFEST, Manifest, RowAccount, fingerprint, manifest, place_of, versions
from recsys.artifacts.read import (
    artifact_of,
    checked,
    count_rows,
    damage,
    damages,
    is_fresh,
    read_batches,
    read_json,
    read_schema,
    read_table,
    require_manifest,
    targets,
    unnamed,
    verify,
)
from recsys.artifacts.write import GROUP_ROWS, Origin, Output, copy, copy_file, drafted, remove, replace_text, unseal, write_file, writing

__all__ = [
    "GROUP_ROWS",
    "MANIFEST",
    "Manifest",
    "Origin",
    "Output",
    "RowAccount",
    "artifact_of",
    "checked",
    "copy",
    "copy_file",
    "count_rows",
    "damage",
    "damages",
    "drafted",
    "fingerprint",
    "is_fresh",
    "manifest",
    "place_of",
    "read_batches",
    "read_json",
    "read_schema",
    "read_table",
    "remove",
    "replace_text",
    "require_manifest",
    "targets",
    "unnamed",
    "unseal",
    "verify",
    "versions",
    "write_file",
    "writing",
]
