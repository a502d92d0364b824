"""How all shared state is written and read: strict text, whole files, and the numbered log.

::

    text       JSON in one form only; digests and seals
    files      files that are whole or not there
    lines      sealed lines: a file of finished ones with one writer, or a file of one
    modes      how an entry takes its number: by a hard link, or by renaming a folder
    patience   for how long a reader doubts its caches before it believes that something is wrong
    log        the numbered log itself
"""

from hpc_sweep.records.files import (
    publish,
    publish_bytes,
    read_json,
    read_text,
    remove_leftovers,
    replace,
    sync_folder,
    write_whole,
)
from hpc_sweep.records.lines import read_lines, read_sealed, write_line
from hpc_sweep.records.log import SCHEMA, Corrupt, Entry, Hole, Kind, append, hole, last_number, read, scan
from hpc_sweep.records.modes import Mode, probe, require
from hpc_sweep.records.text import MAX_BYTES, MAX_DEPTH, canonical, digest, parse, seal

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "SCHEMA",
    "Corrupt",
    "Entry",
    "Hole",
    "Kind",
    "Mode",
    "append",
    "canonical",
    "digest",
    "hole",
    "last_number",
    "parse",
    "probe",
    "publish",
    "publish_bytes",
    "read",
    "read_json",
    "read_lines",
    "read_sealed",
    "read_text",
    "remove_leftovers",
    "replace",
    "require",
    "scan",
    "seal",
    "sync_folder",
    "write_line",
    "write_whole",
]
