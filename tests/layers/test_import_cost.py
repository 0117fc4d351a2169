"""The data side and the report load no torch, and `import lamae` loads next to nothing."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "scipy", "sklearn", "matplotlib", "pydicom", "dask", "pyarrow")
TORCH_FREE = (
    "ecg",
    "ecg.readers",
    "ecg.preprocess",
    "ecg.simulate",
    "labels",
    "cohorts",
    "pack",
    "splits",
    "prepare",
    "metrics",
    "results",
    "report",
    "compare",
    "config",
)


def loaded_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after the statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_is_quick() -> None:
    assert not loaded_after("import lamae") & set(HEAVY)


@pytest.mark.parametrize("name", TORCH_FREE)
def test_the_data_side_loads_no_torch(name: str) -> None:
    loaded = loaded_after(f"import lamae.{name}")
    assert "lamae" in loaded
    assert "torch" not in loaded


def test_the_command_line_starts_without_torch() -> None:
    assert "torch" not in loaded_after("import lamae.cli.main")
