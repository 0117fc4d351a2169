"""A second modality in the tests: small grey videos, of two rates or none known, several of one view, some of none.

A study has two clips of the view ``front``, one without a name, and up to two of ``side``. In the studies with the
label the bright disc of the ``front`` clips is larger.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from lamae.studies import UNKNOWN_VIEW, PreparedRecording, PreparedStudy, Study, View, Views

HEIGHT, WIDTH = 16, 24
NAMES = ("front", "side", UNKNOWN_VIEW)


@dataclass(frozen=True, kw_only=True)
class ToyPreprocessing:
    """Every parameter of the preprocessing."""

    views: tuple[str, ...] = NAMES
    darker: int = 0
    jpeg_quality: int | None = None


class Toy:
    """Small videos, as `lamae.modality.Modality` asks for them."""

    name = "toy"
    unit = "grey levels"
    features = ("mean_grey",)

    @property
    def preprocessing(self) -> type[ToyPreprocessing]:
        return ToyPreprocessing

    def read(self, path: Any) -> Study:
        return make_study(int(str(path)))

    def preprocess(self, study: Study, config: ToyPreprocessing) -> PreparedStudy:
        return PreparedStudy(recordings=_prepared(study, config))

    def view_names(self, config: ToyPreprocessing) -> tuple[str, ...]:
        return config.views

    def measure(self, study: PreparedStudy) -> Mapping[str, float]:
        return {"mean_grey": float(np.mean([recording.values.mean() for recording in study.recordings]))}

    def draw(self, example: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        figure = Figure(figsize=(4, 2))
        for place, frames in enumerate((example["original"], example["reconstructed"]), start=1):
            figure.add_subplot(1, 2, place).imshow(frames[0].reshape(-1, HEIGHT, WIDTH)[0])
        return {"One frame as recorded and as filled in.": figure}


def _prepared(study: Study, config: ToyPreprocessing) -> Iterator[PreparedRecording]:
    """Prepare one video at a time."""
    for view in study.views.values():
        yield PreparedRecording(
            key=view.key,
            name=view.name or UNKNOWN_VIEW,
            values=np.maximum(view.values, config.darker) - np.uint8(config.darker),
            scale=1.0,
            rate_hz=view.rate_hz,
            jpeg_quality=config.jpeg_quality,
        )


def has_label(number: int) -> bool:
    return number % 3 == 1


def make_study(number: int) -> Study:
    """Return study ``number``: 2 to 5 videos of 9 to 30 frames."""
    rng = np.random.default_rng(number)
    kinds = [("front", 30.0), ("front", 50.0), (None, None), ("side", 50.0), ("side", 30.0)][: 2 + number % 4]
    views = []
    for place, (name, rate_hz) in enumerate(kinds):
        radius = 6.5 if name == "front" and has_label(number) else 4.0
        views.append(
            View(name=name, key=f"clip {place}", values=_disc(rng, int(rng.integers(9, 31)), radius), rate_hz=rate_hz)
        )
    return Study(study_id=str(number), views=Views(views), modality="toy", patient_id=f"p{number // 2}")


def _disc(rng: np.random.Generator, frames: int, radius: float) -> np.ndarray:
    """Return ``[frames, height, width]`` of a beating disc with noise."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    beat = radius + 0.8 * np.sin(np.arange(frames) / 2 + rng.uniform(0, 6))
    inside = (y - HEIGHT / 2) ** 2 + (x - WIDTH / 2) ** 2 < beat[:, None, None] ** 2
    grey = 40 + 150 * inside + rng.normal(0, 10, (frames, HEIGHT, WIDTH))
    return np.clip(grey, 0, 255).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class ToyCohort:
    """A cohort of such studies."""

    num: int = 60
    name: str = field(default="toys", init=False)
    version: str = field(default="1", init=False)
    modality: str = field(default="toy", init=False)
    simulated: bool = field(default=True, init=False)

    @property
    def options(self) -> dict[str, Any]:
        return {"num": self.num}

    def table(self) -> pa.Table:
        numbers = range(self.num)
        return pa.table(
            {
                "study_id": [f"toy-{number}" for number in numbers],
                "path": [str(number) for number in numbers],
                "patient_key": [f"toys:p{number // 2}" for number in numbers],
                "split": [("train", "train", "train", "validation", "test")[number // 2 % 5] for number in numbers],
                "label_large": [float(has_label(number)) for number in numbers],
            }
        )

    def read(self, path: str, record: str | None = None) -> Study:
        return make_study(int(path))
