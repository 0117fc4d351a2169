"""How a table of labels may write the sex of a patient."""

from lamae.cohorts import notes, open_cohort


def test_sex_is_understood_however_it_is_written_and_other_words_are_counted(tmp_path):
    words = {"one": "F", "two": "male ", "three": "", "four": "x", "five": "Female", "six": "unknown"}
    for name in words:
        (tmp_path / f"{name}.dcm").touch()
    labels = tmp_path / "labels.csv"
    labels.write_text("study_id,sex\n" + "".join(f"{name},{word}\n" for name, word in words.items()))
    table = open_cohort("folder", tmp_path, labels=labels).table()
    found = dict(zip(table["study_id"].to_pylist(), table["sex"].to_pylist(), strict=True))
    assert found == {"one": "female", "two": "male", "three": None, "four": None, "five": "female", "six": None}
    assert notes(table)["num_unknown_sex"] == 2
