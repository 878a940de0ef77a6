"""The converter takes dlib's own file and nothing less."""

import numpy as np
import pytest

from indexer.models import network_file
from indexer.weights import CONVOLUTIONS, DIMENSION, WeightsError, read_network


@pytest.fixture(scope="module")
def content():
    return network_file().read_bytes()


def test_the_installed_file_is_read_whole():
    convolutions, matrix = read_network(network_file())
    assert len(convolutions) == CONVOLUTIONS
    assert matrix.shape == (256, DIMENSION)
    assert convolutions[0].kernel.shape == (32, 3, 7, 7)
    assert [layer.stride for layer in convolutions].count(2) == 5
    assert all(np.isfinite(layer.kernel).all() and np.isfinite(layer.bias).all() for layer in convolutions)


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.01, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(content, share, tmp_path):
    path = tmp_path / "network.dat"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"network\.dat .*reinstall"):
        read_network(path)


def test_the_last_four_bytes_are_missed_too(content, tmp_path):
    path = tmp_path / "network.dat"
    end = content.rindex(b"fc_2") + 4 + 256 * DIMENSION * 4
    path.write_bytes(content[:end])
    with pytest.raises(WeightsError, match="reinstall"):
        read_network(path)


def test_another_of_dlibs_models_is_refused(tmp_path):
    other = network_file().with_name("shape_predictor_5_face_landmarks.dat")
    with pytest.raises(WeightsError, match="holds 0 convolutions"):
        read_network(other)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_layers_that_claim_odd_sizes_are_refused(content, tmp_path):
    """Whatever number stands where a layer's size should be, the error is ours."""
    first = content.index(b"con_4\x01") + 5
    path = tmp_path / "network.dat"
    for at in range(first, first + 24):
        for value in (0x00, 0x0F, 0x81, 0xFF):
            changed = bytearray(content[:2_000_000])
            changed[at] = value
            path.write_bytes(changed)
            with pytest.raises(WeightsError):
                read_network(path)
