"""The leaderboard on the terminal and on the page: one computation, floors that are cross-fitted, and the verb."""

import numpy as np
import pytest

from evaluation import leaderboard, leaderboard_rows, leaderboard_statistics, raters, results
from evaluation.raters import READER1, READER2, TRUTH
from ra import paths
from ra.config import UserError
from stage3_stack import cohort as cohorts
from stage3_stack import config as stack_config
from stage3_stack import intervals, outputs, train
from tests.worlds import evaluation_world, stack_world
from tests.worlds.stack_world import call

BLEND = str(paths.ROOT / "configs" / "joints" / "stack" / "blend.yaml")
RIDGE = "[{name: mean}, {name: ridge}]"
SETS = ("members=[m0,m1,film]", f"site_learners={RIDGE}", f"total_learners={RIDGE}", "zero_below=[0.0]")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> dict:
    """A small stack with its intervals; the gold scores of the test patients are also the truth."""
    with stack_world.data_folders(tmp_path_factory.mktemp("leaderboard")):
        made = stack_world.make("world", n_train=45, n_test=25, noise=(1.0, 1.2))
        call(train, BLEND, "--data", "world", "--profile", "smoke", *(word for item in SETS for word in ("--set", item)))
        call(intervals, "--data", "world", "--run", "blend")
        for name in ("gold", "truth"):
            made["gold"].to_csv(paths.reader("world", name))
        yield made | {"run": paths.run_dir("world", 3, "blend")}


def test_terminal_and_page_show_the_same_numbers(world):
    config = stack_config.saved(world["run"])
    terminal = leaderboard.of_run("world", "blend", config)
    page = leaderboard.of_raters(raters.load("world", "blend"))
    assert not page.note and set(terminal.rows) <= set(page.rows) and page.noise_row("test") == ("noise floor", TRUTH)
    table = terminal.table().set_index(["kind", "name"])
    for split in page.splits:
        for line in leaderboard_statistics.lines(page, split):
            for score, statistic in line.score.items():
                shown = table.loc[(line.kind, line.name)]
                if not np.isnan(shown[f"{score}_{split}"]):
                    assert statistic.value == pytest.approx(shown[f"{score}_{split}"], abs=1e-12)
                    percent = shown[f"{score}_{split}_below_mean_percent"]
                    assert line.below[score].value == pytest.approx(percent, abs=1e-9)
        best = [statistic.of for statistic, _ in leaderboard_statistics.differences(page, split)]
        assert best == [f"blend less {row[1]}" for _, row in terminal.comparisons(split)]


def test_column_means_are_cross_fitted(world):
    cohort = cohorts.load("world", tuple(world["members"]))
    held_out = cohort.fold == 2
    means = leaderboard_rows.column_means(outputs.gold_of(cohort), cohort.fold, cohort.patients[cohort.test])
    np.testing.assert_allclose(means["oof"].loc[held_out, "Overall_Tol"], cohort.totals[~held_out, 0].mean())
    np.testing.assert_allclose(means["test"]["Overall_Tol"], cohort.totals[:, 0].mean())


def test_a_run_that_is_not_on_disk_is_shown_with_its_readers_only(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    rows = evaluation_world.make(n_train=30, n_test=15)
    board = leaderboard.of_raters(rows)
    assert "that is on disk" in board.note and next(iter(board.rows)) == leaderboard_rows.FLOOR
    assert board.noise_row("oof") == ("noise floor", TRUTH) and board.best_member("sc1") is None
    blank = rows.by[READER1].take(np.arange(45))
    blank.grades[:], blank.totals[:] = np.nan, np.nan
    alone = leaderboard.of_raters(evaluation_world.with_rater(rows, TRUTH, blank))
    assert alone.noise_row("oof") == ("noise floor", READER2)


def test_a_gold_table_of_other_patients_is_refused(world, monkeypatch):
    config = stack_config.saved(world["run"])
    strangers = world["gold"].rename(index=lambda name: f"X{name}")
    monkeypatch.setattr(leaderboard.gold, "reader_scores", lambda _, name: strangers if name == "gold" else None)
    with pytest.raises(UserError, match="check that the gold table is that of the set"):
        leaderboard.of_run("world", "blend", config)


def test_results_refuse_an_unfinished_run_and_flags_that_they_do_not_use(world):
    with pytest.raises(UserError, match="does not exist"):
        call(results, "--data", "world", "--run", "nowhere")
    for flag in ("--force", "--device=cpu", "--fold=0"):
        with pytest.raises(SystemExit) as refused:
            call(results, "--data", "world", flag)
        assert refused.value.code == 2
    assert world["run"].is_dir()
