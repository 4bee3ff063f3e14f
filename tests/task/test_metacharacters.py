from helpers.tables import columns
from helpers.task import metacharacters


def test_sets_of_metacharacters_are_compared_by_what_identifies_a_task(settings):
    found = metacharacters.compare_metacharacters(settings.run(16, 0).data)
    assert list(found.table) == columns("grammar")
    assert set(found.table["metacharacters"]) | set(found.impossible) == set(metacharacters.SETS)
    assert not set(found.table["metacharacters"]) & set(found.impossible)
    table = found.table.set_index("metacharacters")
    default = table.loc["group, plus, class (default)"]
    assert default["nearest_has_task"] >= table["nearest_has_task"].max() - 0.1
    assert table["matches_other_task"].between(0, 1).all()
