"""SCP statements of PTB-XL and the label sets of its benchmark.

Source: Wagner et al., PTB-XL 1.0.3, ``scp_statements.csv`` (CC BY 4.0), from which the table in this folder was taken;
Strodthoff et al., Deep Learning for ECG Analysis: Benchmarks and Insights from PTB-XL (2021), for the rules.
"""

import csv
from functools import cache
from importlib.resources import files

_SUPERCLASSES = {
    "NORM": "normal ECG",
    "MI": "myocardial infarction",
    "STTC": "ST/T change",
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
}
"""Wagner et al. (2020)."""

SETS = ("superclass", "subclass", "diagnostic", "form", "rhythm", "all")


def scp_labels(code: str, *, label_set: str) -> tuple[str, ...]:
    """Return the label that one statement stands for in a label set, or none.

    A statement counts whatever its likelihood, also 0: form and rhythm statements are given without one.
    """
    statement = statements().get(code)
    if statement is None:
        return ()
    if label_set == "all":
        return (code,)
    if label_set in ("superclass", "subclass"):
        return (statement[label_set],) if statement["diagnostic"] == "1" else ()
    return (code,) if statement[label_set] == "1" else ()


def known(code: str) -> str:
    """Return a statement if it is one of the 71, or ``""``."""
    return code if code in statements() else ""


def title_of(label: str, *, label_set: str) -> str | None:
    """Return the title of a statement or superclass; None for subclasses, some of which are named like statements."""
    if label_set == "superclass":
        return _SUPERCLASSES.get(label)
    return statements()[label]["description"] if label_set != "subclass" and label in statements() else None


@cache
def statements() -> dict[str, dict[str, str]]:
    """Return the 71 statements by code: ``diagnostic``, ``form``, ``rhythm`` (0 or 1), classes, description."""
    text = files("lamae.labels").joinpath("scp_statements.csv").read_text(encoding="utf-8")
    return {row["code"]: row for row in csv.DictReader(text.splitlines())}
