"""Groups of clips that a split must not part."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hpc_sweep.tasks.instruments.groups import song_groups


def test_clips_of_one_song_are_one_group():
    """Groups are numbered from 0 in order of appearance."""
    assert song_groups(["b", "a", "b", "c"], ["1", "2", "3", "4"]).tolist() == [0, 1, 0, 2]


def test_equal_content_joins_songs():
    """A recording under two ids joins all clips of both, also when the chain closes late."""
    songs = ["0672", "0672", "0757", "0757", "9999", "0001"]
    contents = ["x", "y", "p", "y", "z", "q"]

    assert song_groups(songs, contents).tolist() == [0, 0, 0, 0, 1, 2]
    assert song_groups(["a", "b", "c", "d", "a"], ["1", "2", "3", "2", "3"]).tolist() == [0, 1, 0, 1, 0]


def test_a_song_named_like_a_content_joins_nothing():
    """Songs and contents are compared among themselves only."""
    assert song_groups(["a", "b"], ["b", "a"]).tolist() == [0, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=20))
def test_groups_are_the_connected_components(clips):
    """Two clips share a group exactly when a chain of equal songs or contents leads from one to the other."""
    songs, contents = [f"s{song}" for song, _ in clips], [f"c{content}" for _, content in clips]
    groups = song_groups(songs, contents).tolist()
    reached = [{index} for index in range(len(clips))]
    for _ in clips:
        for mine in reached:
            mine |= {
                other
                for index in mine
                for other in range(len(clips))
                if songs[index] == songs[other] or contents[index] == contents[other]
            }

    for index, mine in enumerate(reached):
        assert mine == {other for other in range(len(clips)) if groups[other] == groups[index]}
