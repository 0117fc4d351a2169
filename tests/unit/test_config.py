from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pytest
import yaml

from lamae.config import apply_overrides, difference, from_dict, from_mapping_over, read_yaml, to_dict
from lamae.errors import ConfigError


@dataclass(frozen=True)
class Stream:
    patch: tuple[int, ...]
    mode: Literal["study", "view"] = "study"
    channels: int = 1


@dataclass(frozen=True)
class Optim:
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float | None = 1.0


@dataclass(frozen=True)
class Config:
    optim: Optim = field(default_factory=Optim)
    streams: Mapping[str, Stream] = field(default_factory=lambda: {"ecg": Stream(patch=(25,))})
    stages: tuple[Optim, ...] = ()
    extra: Optim | None = None
    name: str = "one"
    compile: bool = False
    seed: int = 7


CHANGED = Config(
    optim=Optim(learning_rate=0.1, betas=(0.5, 0.6), clip=None),
    streams={"ecg": Stream(patch=(5,)), "echo": Stream(patch=(2, 3, 7), mode="view")},
    stages=(Optim(), Optim(clip=3.0)),
    extra=Optim(learning_rate=2.0),
    name="3",
    compile=True,
)


def build(mapping):
    return from_dict(Config, mapping, source="run.yaml")


@pytest.mark.parametrize("config", [Config(), CHANGED])
def test_there_and_back(config, tmp_path):
    assert from_dict(Config, to_dict(config), source="here") == config
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(to_dict(config), sort_keys=False))
    assert build(read_yaml(tmp_path / "config.yaml")) == config


def test_plain_types_by_hand():
    assert to_dict(CHANGED)["streams"]["echo"] == {"patch": [2, 3, 7], "mode": "view", "channels": 1}
    assert to_dict(CHANGED)["optim"] == {"learning_rate": 0.1, "betas": [0.5, 0.6], "clip": None}


def test_numbers_as_yaml_reads_them(tmp_path):
    (tmp_path / "a.yaml").write_text("optim: {learning_rate: 1e-3, clip: null}\n")  # YAML 1.1 reads 1e-3 as text
    assert build(read_yaml(tmp_path / "a.yaml")).optim == Optim(learning_rate=1e-3, clip=None)


def test_the_input_is_left_alone():
    mapping = {"streams": {"ecg": {"patch": [5]}}, "optim": {"betas": [0.1, 0.2]}}
    build(mapping)
    assert mapping == {"streams": {"ecg": {"patch": [5]}}, "optim": {"betas": [0.1, 0.2]}}


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"sead": 3}, "run.yaml: unknown setting 'sead': did you mean 'seed'"),
        ({"optim": {"learnin_rate": 3}}, "unknown setting 'optim.learnin_rate': did you mean 'optim.learning_rate'"),
        ({"learning_rate": 3}, "unknown setting 'learning_rate': did you mean 'optim.learning_rate'"),
        ({"patch": 3}, "unknown setting 'patch': did you mean 'streams.<name>.patch'"),
        ({"streams": {"ecg": {"pach": [2]}}}, "'streams.ecg.pach': did you mean 'streams.ecg.patch'"),
        ({"stages": [{}, {"clp": 1}]}, "'stages.1.clp': did you mean 'stages.1.clip'"),
        ({"zzz": 1}, "known here: optim, streams"),
        ({3: 1}, "unknown setting '3'"),
    ],
)
def test_unknown_key_names_the_nearest(mapping, words):
    with pytest.raises(ConfigError, match=words):
        build(mapping)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"seed": 1.5}, "run.yaml: seed: expected int, found 1.5"),
        ({"seed": True}, "seed: expected int, found True"),
        ({"seed": None}, "seed: expected int, found None"),
        ({"compile": 1}, "compile: expected bool, found 1"),
        ({"compile": "maybe"}, "compile: expected bool, found 'maybe'"),
        ({"name": 3}, "name: expected str, found 3"),
        ({"optim": {"learning_rate": "fast"}}, "optim.learning_rate: expected float, found 'fast'"),
        ({"optim": {"learning_rate": True}}, "optim.learning_rate: expected float, found True"),
        ({"optim": {"betas": [0.1]}}, r"optim.betas: expected tuple\[float, float\], found \[0.1\]"),
        ({"optim": 3}, "optim: expected a mapping of settings, found 3"),
        ({"optim": None}, "optim: expected Optim, found None"),
        ({"streams": {"ecg": {"patch": [2.5]}}}, r"streams.ecg.patch: expected tuple\[int, ...\]"),
        ({"streams": {"ecg": {"patch": [2], "mode": "other"}}}, r"mode: expected Literal\['study', 'view'\]"),
        ({"streams": {"ecg": {}}}, "the setting 'streams.ecg.patch' is missing"),
        ({"streams": [1]}, "streams: expected a mapping, found"),
        ({"stages": 3}, "stages: expected a list, found 3"),
        ({"extra": 3}, "extra: expected a mapping of settings, found 3"),
    ],
)
def test_wrong_type_names_the_setting(mapping, words):
    with pytest.raises(ConfigError, match=words):
        build(mapping)


def test_overrides_by_dotted_key():
    changed = apply_overrides(
        Config(),
        {
            "optim.learning_rate": "1e-4",
            "optim.betas": "[0.8, 0.9]",
            "optim.clip": "null",
            "streams.ecg.mode": "view",
            "name": "5",
            "compile": "true",
            "extra": "{clip: 2}",
        },
    )
    assert changed == Config(
        optim=Optim(learning_rate=1e-4, betas=(0.8, 0.9), clip=None),
        streams={"ecg": Stream(patch=(25,), mode="view")},
        name="5",
        compile=True,
        extra=Optim(clip=2.0),
    )


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (
            "optim.lerning_rate",
            "command line: unknown setting 'optim.lerning_rate': did you mean 'optim.learning_rate'",
        ),
        ("streams.eecg.mode", "did you mean 'streams.ecg'"),
        ("betas", "did you mean 'optim.betas'"),
        ("seed.more", "'seed' has no settings inside it"),
        ("seed", "command line: seed: expected int"),
    ],
)
def test_bad_overrides(key, words):
    with pytest.raises(ConfigError, match=words):
        apply_overrides(Config(), {key: "x"})


def test_a_file_is_laid_over_a_configuration():
    laid = from_mapping_over(CHANGED, {"optim": {"clip": 5}, "streams": {"ecg": {"channels": 3}}}, source="a.yaml")
    assert laid.optim == Optim(learning_rate=0.1, betas=(0.5, 0.6), clip=5.0)
    assert laid.streams["ecg"] == Stream(patch=(5,), channels=3)
    assert laid.streams["echo"] == CHANGED.streams["echo"]
    with pytest.raises(ConfigError, match=r"a.yaml: unknown setting 'optim.clop': did you mean 'optim.clip'"):
        from_mapping_over(Config(), {"optim": {"clop": 5}}, source="a.yaml")


def test_difference_lists_dotted_keys():
    assert difference(Config(), Config()) == []
    other = apply_overrides(Config(), {"optim.learning_rate": 0.5, "seed": 11})
    assert difference(Config(), other) == ["optim.learning_rate: 0.001 != 0.5", "seed: 7 != 11"]
    assert difference({"a": 1}, {"b": {"c": 2}}) == ["a: 1 != 'absent'", "b.c: 'absent' != 2"]


@pytest.mark.parametrize(
    ("content", "words"), [("[1, 2]", "expected a mapping of settings, found list"), ("a: [", "not valid YAML")]
)
def test_bad_yaml_files(tmp_path, content, words):
    (tmp_path / "bad.yaml").write_text(content)
    with pytest.raises(ConfigError, match=words):
        read_yaml(tmp_path / "bad.yaml")


def test_absent_yaml_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot read this configuration"):
        read_yaml(tmp_path / "absent.yaml")


def test_values_that_yaml_cannot_hold():
    with pytest.raises(ConfigError, match="'name' holds object"):
        to_dict(Config(name=object()))  # type: ignore[arg-type]
