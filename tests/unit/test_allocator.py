"""The allocator is told once, by our own processes and by nobody else."""

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
import lamae.ecg.readers
if sys.argv[1] == "command line":
    from lamae.cli.main import main
    assert main(["describe", "absent"]) == 2
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100): np.ones(300_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, file=sys.stderr)
"""


def faults(who: str, **variables: str) -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | variables
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, who], capture_output=True, text=True, check=True, env=environment
    )
    return int(done.stderr.split()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_the_command_line_keeps_what_is_freed_and_an_import_changes_nothing():
    mapped = {"MALLOC_MMAP_THRESHOLD_": "131072"}  # each array is given back when it is freed
    assert faults("library", **mapped) > 100 * 500
    assert faults("command line", **mapped) > 100 * 500, "what the user sets goes before"
    assert faults("command line") < 2000
