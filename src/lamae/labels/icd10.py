"""ICD-10-CM: the hierarchy (chapter, block, 3 and 4 characters) and the label sets that are made with it.

Sources: ICD-10-CM as in the package ``simple_icd_10_cm`` (release of April 2026); Strodthoff et al., Prospects for
artificial intelligence-enhanced electrocardiogram as a unified screening tool for cardiac and non-cardiac conditions
(2024), for ``strodthoff_labels``.
"""

import re
import warnings
from functools import cache
from types import ModuleType
from typing import Literal

_TENS = ("", "X", "XX")
_ONES = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
_ROMAN = [tens + ones for tens in _TENS for ones in _ONES][1:23]
"""The numbers of the 22 chapters."""

Level = Literal["chapters", "blocks", "3char", "4char", "codes", "expanded"]
"""Levels of the hierarchy, and all of them together."""

_NODE_LENGTH = 4
"""Codes of more characters count as their 4-character ancestor."""


def level_labels(code: str, *, level: Level, chapter: str = "") -> tuple[str, ...]:
    """Return the nodes that stand for a code on one level of the hierarchy, none for an unknown code.

    Args:
        code: Undotted code. A retired or over-long code counts as its longest known prefix.
        level: ``"chapters"``, ``"blocks"``, ``"3char"`` (categories), ``"4char"`` (subcategories: longer codes count as
            their 4-character ancestor, codes of 3 characters have none), ``"codes"`` (as long as they were coded),
            or ``"expanded"``: chapter, block, 3 and 4 characters together, ``("IX", "I30-I5A", "I48", "I481")``.
        chapter: Roman number of the chapter to keep; all by default.
    """
    path = path_of(code)
    if not path or chapter not in ("", path[0]):
        return ()
    if level == "expanded":
        return tuple(node for node in path if level_of(node) <= _NODE_LENGTH)
    if level == "4char":
        return tuple(node for node in path[3:] if len(node) == _NODE_LENGTH)
    chosen = {"chapters": path[:1], "blocks": path[1:2], "3char": path[2:3], "codes": path[-1:]}
    return chosen[level]


def strodthoff_labels(code: str, *, chapter_letter: str = "") -> tuple[str, ...]:
    """Return the labels of the MIMIC-IV-ECG benchmark: the shortened code and all its prefixes.

    The steps and their order: cut to 5 characters; take off ``X`` at the end; keep the codes of one letter, if asked;
    add all prefixes of at least 3 characters. Codes are not looked up, so retired ones are labels as well.

    Args:
        code: Undotted code, stripped.
        chapter_letter: First letter of the codes to keep (``"I"``); all by default.
    """
    shortened = code[:5].rstrip("X")
    if len(shortened) < 3 or not shortened.startswith(chapter_letter):
        return ()
    return tuple(shortened[:length] for length in range(3, len(shortened) + 1))


def path_of(code: str) -> tuple[str, ...]:
    """Return all nodes from the chapter down to a code, undotted: ``("IX", "I30-I5A", "I48", "I481", "I4811")``."""
    known = resolve(code)
    if not known:
        return ()
    icd = _icd()
    ancestors = [_name_of_node(node) for node in reversed(icd.get_ancestors(known))]
    return (*ancestors, known)


def resolve(code: str) -> str:
    """Return a code, or its longest prefix that ICD-10-CM lists, or ``""``.

    Codes are retired from release to release, mostly by giving them subcodes or merging them into their parent.
    """
    icd = _icd()
    for length in range(len(code), 2, -1):
        beginning = code[:length]
        if icd.is_valid_item(beginning) and icd.is_category_or_subcategory(beginning):
            return beginning
    return ""


def title_of(node: str) -> str | None:
    """Return the title of a chapter, block or code, None for what ICD-10-CM does not list."""
    name, icd = str(_ROMAN.index(node) + 1) if node in _ROMAN else node, _icd()
    if not icd.is_valid_item(name):
        return None
    return re.sub(r"\s*\([A-Z0-9]{3}-[A-Z0-9]{3}\)$", "", icd.get_description(name))


def place_of(node: str) -> tuple[str, ...]:
    """Return all nodes from the chapter down to a chapter, block or code: ``("IX", "I30-I5A", "I48")``.

    A code that ICD-10-CM does not list stands below its longest known prefix, or alone.
    """
    if node in _ROMAN:
        return (node,)
    if "-" in node:
        return (*(_name_of_node(one) for one in reversed(_icd().get_ancestors(node))), node)
    path = path_of(node)
    return path if path[-1:] == (node,) else (*path, node)


def level_of(node: str) -> int:
    """Return 0 for a chapter, 1 for a block, else the number of characters of the code."""
    if node in _ROMAN:
        return 0
    return 1 if "-" in node else len(node)


def is_chapter(name: str) -> bool:
    """Return True for the Roman number of a chapter."""
    return name in _ROMAN


def _name_of_node(node: str) -> str:
    if node.isdigit():
        return _ROMAN[int(node) - 1]
    return node if "-" in node else node.replace(".", "")


@cache
def _icd() -> ModuleType:
    """Return the hierarchy, imported when it is first needed: that takes two seconds."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        import simple_icd_10_cm
    return simple_icd_10_cm
