import hashlib

import numpy as np

from bat.audio.pcm import pcm_sha256, root_mean_square, to_float32, to_int16


def test_16_bit_samples_survive_the_way_to_float_and_back():
    pcm = np.arange(-32768, 32768).astype(np.int16)
    np.testing.assert_array_equal(to_int16(to_float32(pcm)), pcm)


def test_samples_beyond_full_scale_are_clipped():
    samples = np.array([-2.0, -1.0, 1.0, 2.0], np.float32)
    np.testing.assert_array_equal(to_int16(samples), [-32768, -32768, 32767, 32767])


def test_the_hash_is_of_little_endian_bytes():
    pcm = np.array([1, -2], np.int16)
    assert pcm_sha256(pcm) == hashlib.sha256(b"\x01\x00\xfe\xff").hexdigest()
    assert pcm_sha256(pcm.astype(">i2")) == pcm_sha256(pcm)


def test_rms_of_a_full_scale_square_wave_is_one():
    assert root_mean_square(np.array([1.0, -1.0], np.float32)) == 1.0
