"""The forests of one table of results."""

from lamae.compare.charts import ForestRow, as_chart, forest
from lamae.compare.checks import simulated_words
from lamae.compare.difference_tables import all_differences
from lamae.compare.differences import Difference
from lamae.compare.hierarchy import label_rows
from lamae.compare.judged import MACRO, Judged
from lamae.compare.table import Chart
from lamae.report.wording import metric_name


def macro_forest(judged: Judged, key: str) -> Chart:
    """Draw the macro difference of every pair."""
    rows = [
        ForestRow(name=f"{one.system} − {one.reference}", found=one.rows[MACRO], stars=one.stars(MACRO))
        for one in all_differences(judged)
    ]
    name = metric_name(judged.metric)
    figure = forest(rows, x_label=f"difference of macro {name}")
    title = f"Paired differences of macro {name}: {judged.group.name}"
    return as_chart(figure, key=key, title=title, caption=_caption(judged))


def label_forest(judged: Judged, one: Difference, key: str) -> Chart:
    """Draw one pair's difference by label, in the order of the tree, macro on top."""
    labels = label_rows(judged.labels, judged.group.first.info)
    rows = [ForestRow(name="macro", found=one.rows[MACRO], stars=one.stars(MACRO), bold=True)]
    rows += [
        ForestRow(name=f"{label.name} {label.title}".strip(), found=one.rows[label.name], stars=one.stars(label.name))
        for label in labels
    ]
    name = metric_name(judged.metric)
    figure = forest(rows, x_label=f"difference of {name}, {one.system} − {one.reference}")
    title = f"{one.system} − {one.reference} by label: {judged.group.name}"
    return as_chart(figure, key=key, title=title, caption=_caption(judged))


def _caption(judged: Judged) -> str:
    several = any(len(seeds) > 1 for seeds in judged.by_seed.values())
    over = "patients and pretraining seeds" if several else "patients"
    return (
        f"{simulated_words(judged.group.entries)}Right of nothing the first system is better. {100 * judged.level:g} % "
        f"intervals over {over}, each alone; stars after Holm's correction over the labels (macro is one test)."
    )
