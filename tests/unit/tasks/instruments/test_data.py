"""The door to the data: what a ``data`` node gives, and what is said when it is wrong."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.data import fingerprint, open_data, open_split, prepare
from hpc_sweep.tasks.instruments.embedded import embedded

ROOT = Path(__file__).parents[4]


def _node(name, model_size, **values):
    """Read conf/data/<name>.yaml as Hydra would place it."""
    cfg = OmegaConf.create({"model": {"size": model_size}, "data": OmegaConf.load(ROOT / f"conf/data/{name}.yaml")})
    cfg.data.update(values)
    return cfg.data


def test_the_embedded_node_opens_the_packages_data():
    """data=embedded needs nothing but the model's size."""
    node = _node("embedded", 32)

    source = open_data(node)
    training, validation = open_split(node, source)

    assert embedded().fingerprint == source.fingerprint == fingerprint(node)
    assert len(training) + len(validation) == 450
    assert not set(source.groups[training]) & set(source.groups[validation])


def test_the_irmas_node_opens_a_folder(irmas, tmp_path):
    """data=irmas with a root computes pictures of the model's size, and again from the cache."""
    node = _node("irmas", 24, root=str(irmas), cache=str(tmp_path / "cache"), validation=0.5)

    source = open_data(node)

    assert source.pictures.shape == (6, 24, 24)
    assert source.fingerprint == fingerprint(node)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert sum(len(part) for part in open_split(node, source)) == 6


def test_a_split_by_clip_is_asked_for_by_its_key(embedded_node):
    """data.split=clip parts songs, and another split_seed parts otherwise."""
    source = open_data(embedded_node)

    training, validation = open_split({**embedded_node, "split": "clip"}, source)
    other = open_split({**embedded_node, "split": "clip", "split_seed": 1}, source)[1]

    assert set(source.groups[training]) & set(source.groups[validation])
    assert not np.array_equal(validation, other)


def test_preparing_says_what_the_data_are(irmas_node, embedded_node, tmp_path):
    """The cache is filled, and a person reads how many clips there are and how they differ from IRMAS."""
    sentences = prepare(irmas_node)

    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert sentences[0] == "6 clips of 11 instruments in 3 groups of songs."
    assert sentences[1].startswith("6 clips where IRMAS has 6,705")
    assert prepare(embedded_node) == ("450 clips of 11 instruments in 153 groups of songs.",)


@pytest.mark.parametrize(
    ("change", "where", "next_step"),
    [
        ({"source": "gtzan"}, "data.source", "data=embedded, or data=irmas data.root="),
        ({"root": None}, "data.root", "data=irmas data.root=<folder that holds IRMAS-TrainingData>"),
        ({"root": "/nowhere"}, "/nowhere", "data.root=<folder that holds IRMAS-TrainingData>"),
        ({"hop": "wide"}, "data.hop", "data.hop=<number>"),
        ({"n_mels": 16}, "data.n_mels", "data.n_mels=32"),
    ],
)
def test_a_wrong_irmas_node_says_what_to_type(irmas_node, change, where, next_step):
    """Each wrong key is named with the override that mends it."""
    with pytest.raises(UserError) as caught:
        open_data({**irmas_node, **change})

    assert where == caught.value.where
    assert caught.value.next_step.startswith(next_step)


def test_embedded_pictures_have_one_size(embedded_node):
    """Another size than 32 is refused with the model that fits."""
    with pytest.raises(UserError, match="32 x 32, and the model asks for 224 x 224") as caught:
        open_data({**embedded_node, "size": 224})

    assert caught.value.next_step.startswith("model=cnn_small, or data=irmas")


def test_a_split_that_is_no_number_is_refused(embedded_node):
    """data.validation=half is named."""
    with pytest.raises(UserError, match="'half' is no number") as caught:
        open_split({**embedded_node, "validation": "half"}, open_data(embedded_node))

    assert caught.value.where == "data.validation"


def test_the_data_need_no_torch(run_python):
    """Login nodes prepare and fingerprint data without loading torch or scipy."""
    code = (
        "import sys; from hpc_sweep.tasks.instruments.data import fingerprint\n"
        "print(len(fingerprint({'source': 'embedded', 'size': 32})), {'torch', 'scipy'} & set(sys.modules))"
    )

    result = run_python("-c", code, env={"PYTHONPATH": str(ROOT)})

    assert result.stdout == "64 set()\n", result.stderr
