"""Conversion of configurations between frozen dataclasses and plain mappings, with all keys and types checked."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import yaml

from lamae.errors import ConfigError, did_you_mean

T = TypeVar("T")


def to_dict(config: object) -> dict[str, Any]:
    """Return a dataclass, including nested dataclasses and dictionaries, as a mapping of plain JSON types.

    Raises:
        ConfigError: The value of a field cannot be represented in JSON and YAML.
    """
    return {field.name: _plain(getattr(config, field.name), field.name) for field in fields(cast(Any, config))}


def from_dict(cls: type[T], mapping: Mapping[str, Any], *, source: str) -> T:
    """Build a dataclass from a mapping; missing keys take the defaults of the dataclass.

    Args:
        cls: A dataclass; its fields may be dataclasses, ``dict[str, dataclass]``, tuples, literals and optional values.
        mapping: Content of a YAML or JSON file. Numbers may be given as text (YAML reads ``1e-3`` as text).
        source: Origin of the mapping, for error messages.

    Raises:
        ConfigError: A key is unknown (the message suggests the nearest one) or missing, or a value has the wrong type.
    """
    return _build(cls, mapping, _Place(source, cls, ""))


def from_mapping_over(config: T, mapping: Mapping[str, Any], *, source: str) -> T:
    """Return a configuration updated with the settings of a nested mapping.

    Raises:
        ConfigError: As in ``from_dict``.
    """
    return from_dict(cast(type[T], type(config)), _laid_over(to_dict(config), mapping), source=source)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that contains a mapping.

    Raises:
        ConfigError: The file is missing, is not valid YAML, or does not contain a mapping.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read this configuration ({error.strerror})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # not UTF-8, a day 31 of June, nested too deeply
        raise ConfigError(f"{path}: this is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, found {type(content).__name__}")
    return content


def difference(a: object, b: object) -> list[str]:
    """Return the differences between two configurations as ``"dotted.key: value in a != value in b"``."""
    left, right = _flat(a), _flat(b)
    keys = list(left) + [key for key in right if key not in left]
    return [
        f"{key}: {left.get(key, 'absent')!r} != {right.get(key, 'absent')!r}"
        for key in keys
        if key not in left or key not in right or left[key] != right[key]
    ]


def apply_overrides(config: T, overrides: Mapping[str, Any], *, source: str = "command line") -> T:
    """Return a configuration with some settings replaced.

    Args:
        config: A dataclass.
        overrides: Values by dotted key (``"optim.lr"``); text is parsed as YAML unless the setting itself is text.
        source: Origin of the overrides, for error messages.

    Raises:
        ConfigError: A key is unknown, or a value has the wrong type.
    """
    content = to_dict(config)
    for key, value in overrides.items():
        *parents, last = key.split(".")
        place, node = _Place(source, type(config), ""), content
        for parent in parents:
            place.check(parent, node)
            place, node = place.below(parent), node[parent]
            if not isinstance(node, dict):
                raise ConfigError(f"{source}: {key}: the setting {place.path!r} has no settings inside it")
        place.check(last, node)
        node[last] = value
    return from_dict(cast(type[T], type(config)), content, source=source)


def _laid_over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = below.get(key)
        merged[key] = _laid_over(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


class _Place:
    """Position within a configuration, for error messages."""

    def __init__(self, source: str, root: type, path: str) -> None:
        self.source, self.root, self.path = source, root, path

    def below(self, key: str) -> "_Place":
        return _Place(self.source, self.root, f"{self.path}.{key}" if self.path else key)

    def check(self, key: object, known: Mapping[str, Any]) -> None:
        if key in known:
            return
        elsewhere = [path for path in _known_keys(self.root) if path.split(".")[-1] == key]
        if near := get_close_matches(str(key), list(known), n=1, cutoff=0.7):
            hint = f"did you mean {self.below(near[0]).path!r}?"
        elif elsewhere:
            hint = f"did you mean {elsewhere[0]!r}?"
        else:
            hint = f"known here: {', '.join(known)}"
        raise ConfigError(f"{self.source}: unknown setting {self.below(str(key)).path!r}: {hint}")

    def wrong_type(self, expected: object, value: object) -> ConfigError:
        return ConfigError(f"{self.source}: {self.path}: expected {_words(expected)}, found {value!r}")


def _build(cls: type[T], mapping: object, place: _Place) -> T:
    if not isinstance(mapping, Mapping):
        raise place.wrong_type("a mapping of settings", mapping)
    kinds = get_type_hints(cls)
    known = {field.name: field for field in fields(cast(Any, cls)) if field.init}
    for key in mapping:
        place.check(key, known)
    for name, field in known.items():
        if name not in mapping and field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{place.source}: the setting {place.below(name).path!r} is missing")
    for name in known.keys() & mapping.keys():
        kinds[name] = _kind_of(known[name], kinds[name], mapping[name], place.below(name))
    return cls(**{key: _value(kinds[key], value, place.below(key)) for key, value in mapping.items()})


def _kind_of(field: Field, kind: Any, value: object, place: _Place) -> Any:
    """Return the dataclass of a field; one with ``metadata["kinds"]`` has several, by the ``kind`` in its content."""
    if "kinds" not in field.metadata:
        return kind
    known = field.metadata["kinds"]()
    name = value.get("kind", next(iter(known))) if isinstance(value, Mapping) else next(iter(known))
    if not isinstance(name, str) or name not in known:
        raise ConfigError(
            f"{place.source}: {place.below('kind').path}: expected one of {', '.join(known)}, found {name!r}"
            + did_you_mean(name, known, "; did you mean {!r}?")
        )
    return known[name]


def _value(kind: Any, value: object, place: _Place) -> Any:
    """Convert a value: containers of dataclasses here, everything else with jsonargparse."""
    if value is None:
        if kind is not Any and NoneType not in get_args(kind):
            raise place.wrong_type(kind, value)
        return None
    if not _holds_dataclass(kind):
        return _leaf(kind, value, place)
    kind = _without_none(kind)
    if isinstance(value, str):
        value = yaml.safe_load(value)
    if is_dataclass(kind):
        return value if isinstance(value, cast(type, kind)) else _build(cast(type, kind), value, place)
    if get_origin(kind) in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise place.wrong_type("a mapping", value)
        return {str(key): _value(get_args(kind)[1], item, place.below(str(key))) for key, item in value.items()}
    if not isinstance(value, list | tuple):
        raise place.wrong_type("a list", value)
    return tuple(_value(get_args(kind)[0], item, place.below(str(index))) for index, item in enumerate(value))


def _leaf(kind: Any, value: object, place: _Place) -> Any:
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=kind)
    try:
        return parser.parse_object({"value": value}).value
    except (ArgumentError, TypeError) as error:
        raise place.wrong_type(kind, value) from error


def _without_none(kind: Any) -> Any:
    """Return ``X`` for ``X | None``; a union of several other types is returned unchanged."""
    if get_origin(kind) not in (Union, UnionType):
        return kind
    others = [one for one in get_args(kind) if one is not NoneType]
    return others[0] if len(others) == 1 else kind


def _holds_dataclass(kind: Any) -> bool:
    return is_dataclass(kind) or any(_holds_dataclass(inner) for inner in get_args(kind))


def _plain(value: object, path: str) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name), f"{path}.{field.name}") for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, path) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(f"the setting {path!r} holds {type(value).__name__}, which a YAML file cannot hold")


def _flat(config: object, prefix: str = "") -> dict[str, Any]:
    content = config if isinstance(config, Mapping) else to_dict(config)
    flat: dict[str, Any] = {}
    for key, value in content.items():
        inner = _plain(value, key)
        flat |= _flat(inner, f"{prefix}{key}.") if isinstance(inner, dict) else {f"{prefix}{key}": inner}
    return flat


def _known_keys(kind: Any, prefix: str = "") -> list[str]:
    """Return all dotted keys of a dataclass, with ``<name>`` in place of dictionary keys."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return [
            key
            for field in fields(kind)
            for path in [f"{prefix}{field.name}"]
            for key in [path, *_keys_below(field, hints[field.name], f"{path}.")]
        ]
    inner = "<name>." if get_origin(kind) in (dict, Mapping) else ""
    return [key for one in get_args(kind) for key in _known_keys(one, prefix + inner)]


def _keys_below(field: Field, kind: Any, prefix: str) -> list[str]:
    kinds = field.metadata["kinds"]().values() if "kinds" in field.metadata else [kind]
    return [key for one in kinds for key in _known_keys(one, prefix)]


def _words(kind: object) -> str:
    if isinstance(kind, str):
        return kind
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")
