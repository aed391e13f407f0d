import contextlib
import shutil

import pytest

from audit.browser import Page, absent, start
from audit.made_experiment import Made
from bat.audit.page.command import write_page
from pipeline.tiny import REPOSITORY
from provenance.conftest import here

__all__ = ["here"]
INDEX = "results/audit/index.html"


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all tests of a worker."""
    if why := absent():
        pytest.skip(why)
    driver = start()
    yield Page(driver)
    driver.quit()


@pytest.fixture
def view(browser):
    """The browser on a screen of a desk; nothing moves, so that clicks hit."""
    browser.resize(1280, 900)
    browser.media(prefers_reduced_motion="reduce")
    return browser


def build(folder, **changes):
    """Write a made experiment and its page; return the page's file."""
    shutil.copy(REPOSITORY / "params.yaml", folder)
    Made(folder, **changes).write()
    return remake(folder)


def remake(folder):
    with contextlib.chdir(folder):
        write_page(folder / INDEX)
    return folder / INDEX


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A small experiment with its page; do not change it, copy it."""
    folder = tmp_path_factory.mktemp("made")
    build(folder)
    return folder


@pytest.fixture
def changed(made, tmp_path):
    """A copy of it to damage."""
    return shutil.copytree(made, tmp_path / "copy")
