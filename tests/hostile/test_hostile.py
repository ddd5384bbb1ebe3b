"""A sample of the hostile files; all of them: python -m tests.hostile.sweep."""

import sys

import pytest

from .sweep import Places, _note, try_file

SAMPLE = 40
LEAST = 200


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    sys.addaudithook(_note)
    return Places.make(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def files(places):
    return list(places.files(seed=0))


def test_there_are_enough_of_them(files):
    assert len(files) >= LEAST
    assert len({hostile.path for hostile in files}) == len(files)


@pytest.mark.parametrize("number", range(SAMPLE))
def test_a_hostile_file_is_an_error(number, places, files):
    try_file(places, files[number * len(files) // SAMPLE])
