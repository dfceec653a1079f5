"""The archive of a tranqd as zstd reads it (late.policy archive)."""

import glob
import json
import os
import subprocess


def files_of(tranqd, ds="wikipedia"):
    """The archive's files, by path below the dataSource."""
    top = os.path.join(tranqd.data_dir, "archive", ds)
    return sorted(os.path.relpath(p, top) for p in
                  glob.glob(os.path.join(top, "**", "*.zst"), recursive=True))


def rows_of(tranqd, ds="wikipedia"):
    """All events of the archive, as zstd itself reads them."""
    top = os.path.join(tranqd.data_dir, "archive", ds)
    rows = []
    for name in files_of(tranqd, ds):
        text = subprocess.run(["zstd", "-dcq", os.path.join(top, name)],
                              check=True, capture_output=True).stdout
        assert text.endswith(b"\n"), name
        rows += [json.loads(line) for line in text.splitlines()]
    return rows
