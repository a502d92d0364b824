"""Renders a folder in the layout of IRMAS from sampled instruments, with FluidSynth and a General MIDI soundfont.

python -m hpc_sweep.tasks.instruments.render OUT [--clips 450] [--seed 0] [--testing 0] [--soundfont PATH] [--workers N]

Every song has its own synthesizer and its own seeded generator: equal arguments give equal bytes, in any process. The
folder appears under its name when it is whole.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import uuid
import wave
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.composition import compose
from hpc_sweep.tasks.instruments.progress import available_cores, track
from hpc_sweep.tasks.instruments.repertoire import songs_for_testing, songs_for_training

try:
    import fluidsynth
except ImportError:  # pyfluidsynth is an extra, and the library that it opens is a package of the system
    fluidsynth = None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from hpc_sweep.tasks.instruments.composition import Part
    from hpc_sweep.tasks.instruments.repertoire import Song

SAMPLE_RATE = 44100
CLIP_SAMPLES = 3 * SAMPLE_RATE - 1  # one short of 3 s, like the clips of IRMAS
EXCERPT_SECONDS = (5, 20)
SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
INSTALL = "apt-get install fluidsynth libfluidsynth3 fluid-soundfont-gm; pip install 'hpc-sweep[render]'"
SETTINGS = {"synth.dynamic-sample-loading": 1, "synth.chorus.active": 0}
DRUM_CHANNEL = 9
# What makes the task as hard as it is: ranges of the lead's level over the rest, of the spectrum's slope per octave,
# and of the noise under the mix.
LEAD_DB, TILT_DB, NOISE_DB = (4.0, 16.0), (-2.0, 2.0), (-60.0, -35.0)


def render(out: Path, songs: Sequence[Song], seed: int, soundfont: Path = SOUNDFONT, workers: int = 1) -> None:
    """Write every take of ``songs`` into ``out``, a new or empty folder, by ``workers`` processes.

    Raises ``UserError`` when ``out`` holds files, or FluidSynth or the soundfont is missing; nothing is kept then.
    """
    out = out.absolute()
    _check(out, soundfont)
    beside = out.with_name(f".{out.name}-{uuid.uuid4().hex}")
    try:
        work = partial(_render_files, root=beside, seed=seed, soundfont=soundfont)
        for _ in track(_map(work, songs, workers), len(songs), "rendering songs"):
            pass
        beside.rename(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def render_song(song: Song, seed: int, soundfont: Path = SOUNDFONT) -> list[NDArray[np.int16]]:
    """Return the takes of one song, each of shape (samples, 2)."""
    generator = np.random.default_rng((seed, song.number, 1))
    lengths = [_length(song, generator) for _ in song.files]
    starts = [SAMPLE_RATE // 2 + sum(lengths[:take]) + take * SAMPLE_RATE // 4 for take in range(len(lengths))]
    total = starts[-1] + lengths[-1]
    leads, others = compose(song, total / SAMPLE_RATE, generator)
    room = generator.uniform(0.1, 0.8)
    lead, rest = (_unit(_synthesize(parts, total, room, soundfont)) for parts in (leads, others))
    mix = _tilt(lead * _gain(generator.uniform(*LEAD_DB)) + rest, generator.uniform(*TILT_DB))
    noise = generator.standard_normal(mix.shape, dtype=np.float32)
    mix = _unit(mix) + noise * _gain(generator.uniform(*NOISE_DB))
    pcm = np.rint(mix * (generator.uniform(0.4, 0.95) * 32767 / np.abs(mix).max())).astype(np.int16)
    return [pcm[start : start + length] for start, length in zip(starts, lengths, strict=True)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="render", description="Render a folder in the layout of IRMAS.")
    parser.add_argument("out", type=Path, help="new or empty folder")
    parser.add_argument("--clips", type=int, default=450, help="training clips (450)")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal bytes (0)")
    parser.add_argument("--testing", type=int, default=0, help="testing excerpts with several labels (0)")
    parser.add_argument("--soundfont", type=Path, default=SOUNDFONT, help=f"a General MIDI soundfont ({SOUNDFONT})")
    parser.add_argument("--workers", type=int, default=available_cores(), help="processes (one per core)")
    options = parser.parse_args(arguments)
    try:
        songs = songs_for_training(options.clips, options.seed) + songs_for_testing(options.testing, options.seed)
        render(options.out, songs, options.seed, options.soundfont, options.workers)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    return 0


def _check(out: Path, soundfont: Path) -> None:
    if fluidsynth is None:
        raise UserError("FluidSynth is not installed.", where="pyfluidsynth, libfluidsynth3", next_step=INSTALL)
    if not soundfont.is_file():
        raise UserError(
            "The soundfont is not there.", where=str(soundfont), next_step=f"{INSTALL}; or --soundfont PATH"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("The folder to render into is not empty.", where=str(out), next_step="name a new folder")


def _map(work: Callable[[Song], None], songs: Sequence[Song], workers: int) -> Iterator[None]:
    if workers == 1:
        yield from map(work, songs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, songs)


def _render_files(song: Song, root: Path, seed: int, soundfont: Path) -> None:
    for name, pcm in zip(song.files, render_song(song, seed, soundfont), strict=True):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as sound:
            sound.setparams((2, 2, SAMPLE_RATE, len(pcm), "NONE", "not compressed"))
            sound.writeframes(pcm.astype("<i2").tobytes())
        if not song.is_training:
            path.with_suffix(".txt").write_text("".join(f"{lead}\t\n" for lead in song.leads), encoding="utf-8")


def _length(song: Song, generator: np.random.Generator) -> int:
    if song.is_training:
        return CLIP_SAMPLES
    return int(generator.uniform(*EXCERPT_SECONDS) * SAMPLE_RATE)


def _synthesize(parts: Sequence[Part], samples: int, room: float, soundfont: Path) -> NDArray[np.float32]:
    """Play parts on a synthesizer of their own, so that nothing of another song is left in it; shape (samples, 2)."""
    synth = fluidsynth.Synth(gain=0.3, samplerate=SAMPLE_RATE, channels=16, **SETTINGS)
    try:
        font = synth.sfload(str(soundfont))
        if font < 0:
            raise UserError("FluidSynth cannot read this soundfont.", where=str(soundfont), next_step=INSTALL)
        synth.set_reverb(roomsize=room, damping=0.4, width=0.8, level=0.4)
        channels = [DRUM_CHANNEL if part.bank else number for number, part in enumerate(parts)]
        for channel, part in zip(channels, parts, strict=True):
            synth.program_select(channel, font, part.bank, part.program)
        return _play(synth, _events(channels, parts), samples)
    finally:
        synth.delete()


def _events(channels: Sequence[int], parts: Sequence[Part]) -> list[tuple[int, int, int, int]]:
    """List (sample, velocity, channel, key) in order of time; velocity 0 ends a note, before others start."""
    events = []
    for channel, part in zip(channels, parts, strict=True):
        for note in part.notes:
            start = int(note.start * SAMPLE_RATE)
            events.append((start, note.velocity, channel, note.key))
            events.append((start + int(note.seconds * SAMPLE_RATE), 0, channel, note.key))
    return sorted(events)


def _play(synth: fluidsynth.Synth, events: Sequence[tuple[int, int, int, int]], samples: int) -> NDArray[np.float32]:
    blocks, now = [], 0
    for time, velocity, channel, key in events:
        if time >= samples:
            break
        if time > now:
            blocks.append(synth.get_samples(time - now))
            now = time
        if velocity:
            synth.noteon(channel, key, velocity)
        else:
            synth.noteoff(channel, key)
    blocks.append(synth.get_samples(samples - now))
    return np.concatenate(blocks).reshape(samples, 2).astype(np.float32) / np.float32(32768)


def _tilt(sound: NDArray[np.float32], decibels: float) -> NDArray[np.float32]:
    """Raise (or lower) the spectrum by ``decibels`` an octave, seen from 1 kHz, between 60 Hz and 16 kHz."""
    length = 1 << (len(sound) - 1).bit_length()
    octaves = np.log2(np.clip(np.fft.rfftfreq(length, 1 / SAMPLE_RATE), 60, 16000) / 1000)
    spectrum = np.fft.rfft(sound.T, length) * 10 ** (decibels * octaves / 20)
    return np.fft.irfft(spectrum, length)[:, : len(sound)].T.astype(np.float32)


def _unit(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale to a root mean square of 1; silence stays silence."""
    return sound / max(float(np.sqrt(np.mean(sound**2))), 1e-6)


def _gain(decibels: float) -> float:
    return float(10 ** (decibels / 20))


if __name__ == "__main__":
    sys.exit(main())
