import pytest

from app.retrieval.fusion import reciprocal_rank_fusion


def test_what_several_rankings_hold_has_most() -> None:
    scores = reciprocal_rank_fusion([[1, 2, 3], [4, 2]])
    assert scores[2] > scores[1] == scores[4] > scores[3]


def test_scores_are_summed_reciprocal_ranks() -> None:
    assert reciprocal_rank_fusion([[7], [7, 8]]) == pytest.approx({7: 2 / 8, 8: 1 / 9})


def test_no_ranking_gives_nothing() -> None:
    assert reciprocal_rank_fusion([[], []]) == {}
