"""The layout of IRMAS: names, folders, labels, and what is said when they are wrong."""

import pytest

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.irmas import (
    CLASSES,
    TRAINING_COUNTS,
    Clip,
    describe_counts,
    parse_name,
    read_testing,
    read_training,
)
from hpc_sweep.tasks.instruments.repertoire import songs_for_training

TRAINING = "IRMAS-TrainingData"
PART_1, PART_2 = "IRMAS-TestingData-Part1/Part1", "IRMAS-TestingData-Part2/IRTestingData-Part2"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("071__[gel][dru][cou_fol]0754__1.wav", ("gel", "0754", "dru", "cou_fol", 1)),
        ("[cla][cla]0189__2.wav", ("cla", "0189", None, "cla", 2)),
        ("[cla][nod][cla]0189__3.wav", ("cla", "0189", "nod", "cla", 3)),
        ("[pia][---][jaz_blu]1472__2.wav", ("pia", "1472", "---", "jaz_blu", 2)),
        ("008__[cel][nod][cla]0058__1.wav", ("cel", "0058", "nod", "cla", 1)),
        ("[voi][dru][lat_sou]2290__1.wav", ("voi", "2290", "dru", "lat_sou", 1)),
    ],
)
def test_names_are_read_by_position(name, expected):
    """Tags are told apart by where they stand, so [cla][cla] is a clarinet in classical music."""
    label, song, drums, genre, take = expected

    assert Clip(name, label, song, drums, genre, take) == parse_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "[gel][pop_roc]754__1.wav",
        "[gel][xyz][pop_roc]0754__1.wav",
        "[gel]0754__1.wav",
        "71__[gel][pop_roc]0754__1.wav",
        "[gel][pop_roc]0754__1.wav.bak",
        "[gel][pop_roc]0754__12.wav",
        "notes.wav",
    ],
)
def test_a_name_outside_the_grammar_is_refused(name):
    """A name that is not IRMAS's is named, with an example of one that is."""
    with pytest.raises(UserError, match="not in the grammar") as caught:
        parse_name(name)

    assert name == caught.value.where
    assert "0754__1.wav" in caught.value.next_step


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rendered_names_are_in_the_grammar(seed):
    """Every name that the renderer makes is read back as the class, genre and song that it was made from."""
    songs = songs_for_training(450, seed)

    for song in songs:
        clips = [parse_name(file.rsplit("/", 1)[1]) for file in song.files]

        assert {(song.leads[0], song.genre, f"{song.number:04}")} == {(c.label, c.genre, c.song) for c in clips}
        assert list(range(1, len(clips) + 1)) == [clip.take for clip in clips]
        assert all(clip.drums in (None, "---", "dru" if song.drums else "nod") for clip in clips)


def test_classes_are_those_of_irmas():
    """There are 11 classes in alphabetical order and 6,705 training clips."""
    assert list(CLASSES) == sorted(CLASSES)
    assert (len(CLASSES), sum(TRAINING_COUNTS.values())) == (11, 6705)


def test_the_root_may_be_the_training_folder_itself(irmas):
    """Both folders that a person may point at give the same clips, sorted, with paths relative to the inner one."""
    clips = read_training(irmas)

    assert clips == read_training(irmas / TRAINING)
    assert [clip.path for clip in clips] == sorted(clip.path for clip in clips)
    assert sorted(clip.song for clip in clips) == ["0001", "0001", "0002", "0754", "0755", "0755"]
    assert all((irmas / TRAINING / clip.path).is_file() for clip in clips)


def test_debris_of_archivers_is_no_data(irmas):
    """AppleDouble files and __MACOSX are passed over."""
    (irmas / TRAINING / "cel" / "._[cel][cla]0001__1.wav").write_bytes(b"x")
    (irmas / TRAINING / "__MACOSX").mkdir()
    (irmas / TRAINING / "README.txt").write_text("x")

    assert len(read_training(irmas)) == 6


def _missing(root):
    return root / "nowhere", "does not exist", root / "nowhere"


def _no_classes(root):
    (root / "other").mkdir()
    return root / "other", "neither IRMAS-TrainingData nor the class folders", root / "other"


def _unknown_class(root):
    (root / TRAINING / "kaz").mkdir()
    return root, "'kaz' is no class", root / TRAINING / "kaz"


def _empty_class(root):
    (root / TRAINING / "vio").mkdir()
    return root, "holds no .wav", root / TRAINING / "vio"


def _wrong_folder(root):
    wrong = root / TRAINING / "gel" / "[cel][cla]0009__1.wav"
    wrong.write_bytes(b"x")
    return root, r"named \[cel\] but lies in the folder gel", wrong


def _unknown_tag(root):
    wrong = root / TRAINING / "gel" / "[kaz][cla]0009__1.wav"
    wrong.write_bytes(b"x")
    return root, "'kaz' is no class", wrong


def _wrong_name(root):
    wrong = root / TRAINING / "gel" / "guitar.wav"
    wrong.write_bytes(b"x")
    return root, "not in the grammar", wrong


@pytest.mark.parametrize(
    "damage", [_missing, _no_classes, _unknown_class, _empty_class, _wrong_folder, _unknown_tag, _wrong_name]
)
def test_a_wrong_training_folder_is_named(irmas, damage):
    """Each mistake has one sentence, the file or folder, and what to do next."""
    root, what, where = damage(irmas)

    with pytest.raises(UserError, match=what) as caught:
        read_training(root)

    assert str(where) == caught.value.where
    assert caught.value.next_step


def test_counts_that_differ_are_named(irmas):
    """A subset is described class by class, and the whole of IRMAS is not remarked upon."""
    whole = [_clip(label) for label, count in TRAINING_COUNTS.items() for _ in range(count)]

    text = describe_counts(read_training(irmas))

    assert text.startswith("6 clips where IRMAS has 6,705")
    assert "cel 3 (388)" in text
    assert "voi 0 (778)" in text
    assert not describe_counts(whole)
    assert describe_counts([*whole, _clip("pia")]).endswith("with IRMAS's count: pia 722 (721).")


def _clip(label):
    return Clip("", label, "", None, "cla", 1)


@pytest.fixture
def testing_root(irmas):
    """Add two testing excerpts in two parts, with the trailing tabs of IRMAS."""
    for part, name, labels in [
        (PART_1, "(02) dont kill the whale-1", "gel\t\nvoi\t\n"),
        (PART_2, "08 - Big Band-12", "sax\t\n"),
    ]:
        (irmas / part).mkdir(parents=True)
        (irmas / part / f"{name}.wav").write_bytes(b"x")
        (irmas / part / f"{name}.txt").write_text(labels)
    return irmas


def test_testing_excerpts_have_all_their_labels(testing_root):
    """Labels lose their trailing tabs, the song its excerpt number, and both roots find the parts."""
    excerpts = read_testing(testing_root)

    assert [excerpt.labels for excerpt in excerpts] == [("gel", "voi"), ("sax",)]
    assert [excerpt.song for excerpt in excerpts] == ["(02) dont kill the whale", "08 - Big Band"]
    assert all((testing_root / excerpt.path).is_file() for excerpt in excerpts)
    assert excerpts == read_testing(testing_root / TRAINING)


def test_without_testing_folders_there_are_no_excerpts(irmas):
    """The testing part is optional."""
    assert read_testing(irmas) == []


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        (b"\t\n", "holds no label"),
        (b"gel\t\nkaz\t\n", "'kaz' is no class"),
        (b"\xff\xfe", "no text"),
        (None, "no .txt"),
    ],
)
def test_a_wrong_annotation_is_named(testing_root, labels, what):
    """An excerpt without labels that can be used is refused, naming the file."""
    annotation = testing_root / PART_2 / "08 - Big Band-12.txt"
    annotation.unlink()
    if labels is not None:
        annotation.write_bytes(labels)

    with pytest.raises(UserError, match=what) as caught:
        read_testing(testing_root)

    assert caught.value.where.startswith(str(annotation.with_suffix("")))
