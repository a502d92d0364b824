"""Rendered folders: IRMAS's layout, equal bytes by seed, and sentences when something is missing."""

import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.embed import embed
from hpc_sweep.tasks.instruments.embed import main as embed_main
from hpc_sweep.tasks.instruments.irmas import CLASSES, read_testing, read_training
from hpc_sweep.tasks.instruments.render import INSTALL, SOUNDFONT, main, render, render_song
from hpc_sweep.tasks.instruments.repertoire import songs_for_training
from tests.conftest import require

ROOT = Path(__file__).parents[4]
CLIPS, TESTING, SEED = 12, 1, 5
ARGUMENTS = ("--clips", str(CLIPS), "--testing", str(TESTING), "--seed", str(SEED))


@pytest.fixture(scope="module")
def soundfont():
    """Need FluidSynth and its soundfont, and return the latter."""
    require(shutil.which("fluidsynth") and SOUNDFONT.is_file(), "FluidSynth or its soundfont", INSTALL)
    return SOUNDFONT


@pytest.fixture(scope="module")
def rendered(soundfont, tmp_path_factory):
    """Render a small folder by the command, in this process."""
    out = tmp_path_factory.mktemp("rendered") / "irmas"
    assert main([str(out), *ARGUMENTS, "--workers", "1", "--soundfont", str(soundfont)]) == 0
    return out


def _bytes(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.render
def test_the_folder_reads_as_irmas(rendered):
    """All classes are there, and every clip is 132,299 frames of audible 16-bit stereo."""
    clips = read_training(rendered)

    assert len(clips) == CLIPS
    assert set(CLASSES) == {clip.label for clip in clips}
    for clip in clips:
        with wave.open(str(rendered / "IRMAS-TrainingData" / clip.path)) as sound:
            assert sound.getparams()[:4] == (2, 2, 44100, 132299)
            pcm = np.frombuffer(sound.readframes(132299), dtype="<i2")
        assert np.abs(pcm.astype(int)).max() < 32_000
        assert pcm.std() > 300


@pytest.mark.render
def test_testing_excerpts_read_as_irmas(rendered):
    """They last 5 to 20 s and their labels end in tabs."""
    excerpts = read_testing(rendered)

    assert len(excerpts) == TESTING
    for excerpt in excerpts:
        path = rendered / excerpt.path
        with wave.open(str(path)) as sound:
            assert 5 * 44100 <= sound.getnframes() <= 20 * 44100
        assert "".join(f"{label}\t\n" for label in excerpt.labels) == path.with_suffix(".txt").read_text()


@pytest.mark.render
def test_equal_seeds_give_equal_bytes_in_other_processes(rendered, tmp_path, run_python):
    """Two processes that render three of the songs make the very files that this process made among all."""
    songs = "songs_for_training(12, 5)[-2:] + songs_for_testing(1, 5)"
    code = (
        "from pathlib import Path\n"
        "from hpc_sweep.tasks.instruments.render import render\n"
        "from hpc_sweep.tasks.instruments.repertoire import songs_for_testing, songs_for_training\n"
        f"render(Path('again'), {songs}, 5, workers=2)"
    )

    result = run_python("-c", code, env={"PYTHONPATH": str(ROOT)})

    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith("rendering songs: 3\n")
    assert [tmp_path / "again"] == list(tmp_path.iterdir())
    again = _bytes(tmp_path / "again")
    assert again.items() <= _bytes(rendered).items()
    assert {file for song in songs_for_training(CLIPS, SEED)[-2:] for file in song.files} < again.keys()


@pytest.mark.render
def test_another_seed_sounds_different(rendered):
    """The last song with the next seed has other samples."""
    song = songs_for_training(CLIPS, SEED)[-1]

    assert render_song(song, SEED + 1)[0].tobytes() != (rendered / song.files[0]).read_bytes()[44:]


@pytest.mark.render
@pytest.mark.usefixtures("soundfont")
def test_a_folder_with_files_is_left_alone(tmp_path, capsys):
    """Rendering into a folder that holds something is refused, and the folder stays as it was."""
    (tmp_path / "mine.txt").write_text("x")

    assert main([str(tmp_path), *ARGUMENTS]) == 2
    assert f"not empty.\n{tmp_path}\n" in capsys.readouterr().err
    assert [tmp_path / "mine.txt"] == list(tmp_path.iterdir())


@pytest.mark.render
def test_an_empty_folder_is_filled(soundfont, tmp_path):
    """An existing folder without files is as good as none."""
    (tmp_path / "empty").mkdir()

    render(tmp_path / "empty", songs_for_training(11, 0)[:1], 0, soundfont)

    assert len(_bytes(tmp_path / "empty")) == 1


@pytest.mark.render
@pytest.mark.usefixtures("soundfont")
def test_a_file_that_is_no_soundfont_is_named(tmp_path, capfd):
    """FluidSynth's refusal becomes one sentence, and nothing is kept."""
    (tmp_path / "wrong.sf2").write_bytes(b"no soundfont")

    with pytest.raises(UserError, match="cannot read this soundfont") as caught:
        render(tmp_path / "out", songs_for_training(11, 0), 0, soundfont=tmp_path / "wrong.sf2")

    assert str(tmp_path / "wrong.sf2") == caught.value.where
    assert [tmp_path / "wrong.sf2"] == list(tmp_path.iterdir())
    assert "rendering" in capfd.readouterr().err


@pytest.mark.render
@pytest.mark.usefixtures("soundfont")
def test_a_missing_soundfont_names_the_packages(tmp_path, capsys):
    """The sentence has the path, what to install and the option that points elsewhere."""
    assert main([str(tmp_path / "out"), *ARGUMENTS, "--soundfont", str(tmp_path / "none.sf2")]) == 2

    said = capsys.readouterr().err

    assert said.startswith(f"The soundfont is not there.\n{tmp_path / 'none.sf2'}\napt-get install fluidsynth")
    assert "fluid-soundfont-gm" in said
    assert "--soundfont" in said


def test_a_missing_fluidsynth_names_the_packages(tmp_path, run_python):
    """Where pyfluidsynth cannot be imported, the command ends with status 2 and no traceback."""
    code = (
        "import sys; sys.modules['fluidsynth'] = None\n"
        "from hpc_sweep.tasks.instruments.render import main\n"
        f"sys.exit(main([{str(tmp_path / 'out')!r}, '--workers', '1']))"
    )

    result = run_python("-c", code, env={"PYTHONPATH": str(ROOT)})

    assert result.returncode == 2
    assert result.stderr.startswith("FluidSynth is not installed.\n")
    assert "apt-get install fluidsynth libfluidsynth3 fluid-soundfont-gm" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.render
def test_a_rendered_folder_can_be_embedded(rendered, tmp_path, capsys):
    """The command writes pictures, labels and groups of every training clip, and nothing beside."""
    assert embed_main([str(rendered), str(tmp_path / "small.npz")]) == 0

    with np.load(tmp_path / "small.npz") as arrays:
        assert (arrays["pictures"].shape, len(arrays["labels"])) == ((CLIPS, 32, 32), CLIPS)
        assert len(songs_for_training(CLIPS, SEED)) == len(set(arrays["groups"].tolist()))
    assert [tmp_path / "small.npz"] == list(tmp_path.iterdir())
    assert "log-mel features: 12" in capsys.readouterr().err


def test_embedding_a_wrong_folder_says_so(tmp_path, capsys):
    """A wrong path ends with status 2 and a sentence."""
    assert embed_main([str(tmp_path / "nowhere"), str(tmp_path / "out.npz")]) == 2
    assert "does not exist" in capsys.readouterr().err
    with pytest.raises(UserError):
        embed(tmp_path / "nowhere", tmp_path / "out.npz")
