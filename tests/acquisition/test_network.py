"""Where an address leads, what the environment says, and what nobody may see."""

import logging
from pathlib import Path

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from acquisition.server import FaultServer, redirect
from bat.acquisition.network import Network, public
from bat.errors import BatError

HOST = st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z]{2,5}){1,2}(:[1-9][0-9]{1,3})?", fullmatch=True)
NAME = st.from_regex(r"[A-Za-z0-9_~@=+][A-Za-z0-9._~@=+-]{0,12}", fullmatch=True)
PATH = st.lists(NAME, min_size=1, max_size=5).map("/".join)
SECRET = st.from_regex(r"[A-Za-z0-9!$&'*+,;=@:%._~-]{0,6}SECRET[A-Za-z0-9]{0,6}", fullmatch=True)
HUB_FILE = "huggingface.co/datasets/a/b/resolve/main/x.zip"


# --- public -----------------------------------------------------------------------------------


@given(HOST, PATH, SECRET, SECRET, SECRET)
def test_no_secret_of_an_address_is_public(host, path, user, password, query):
    plain = f"https://{host}/{path}"
    assert public(plain) == plain
    assert public(f"https://{user}:{password}@{host}/{path}") == plain
    assert public(f"{plain}?X-Amz-Signature={query}&a=/b#frag/{query}") == plain
    assert public(f"https://{password}@{host}/{path}?{query}") == plain
    assert "SECRET" not in public(f"{user}:{password}@{host}/{path}")


# A slash or an @ before the secret ends the password, as far as anybody can tell.
@given(st.text(st.characters(exclude_characters="/@"), max_size=12), st.text(max_size=12))
@example("a", "b/c")
@example("a?b", "c#d")
@example("0", "/@")
def test_a_password_that_breaks_an_address_is_not_public(before, after):
    assert "SECRET" not in public(f"https://user:{before}SECRET{after}@host.org/x")


@given(st.text())
def test_any_text_can_be_made_public(text):
    once = public(text)
    assert public(once) == once


def test_an_archived_address_keeps_its_own_address_but_not_its_password():
    url = "https://web.archive.org/web/2020/https://user:SECRET@host.org/a"
    assert public(url) == "https://web.archive.org/web/2020/https://host.org/a"


# --- locate -----------------------------------------------------------------------------------


@given(HOST, PATH)
def test_without_a_mirror_an_address_is_itself(host, path):
    assert Network().locate(f"https://{host}/{path}?a=b") == f"https://{host}/{path}?a=b"


@given(HOST, PATH, st.sampled_from(["", "/", "/base", "/base/"]))
def test_a_mirror_has_host_and_path_below_it(host, path, base):
    network = Network(mirror=f"http://mirror.org{base}")
    expected = f"http://mirror.org{base.rstrip('/')}/{host}/{path}"
    assert network.locate(f"https://{host}/{path}") == expected
    assert network.locate(f"https://{host}/{path}?a=b#c") == f"{expected}?a=b"
    assert network.locate(f"https://user:SECRET@{host}/{path}") == expected


@given(HOST, PATH)
def test_a_folder_has_host_and_path_below_it(host, path):
    network = Network(mirror="/")
    assert network.locate(f"https://{host}/{path}") == Path("/", host, path)
    assert network.locate(f"https://user:SECRET@{host}/{path}?token=SECRET") == Path(
        "/", host, path
    )


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
def test_no_address_leads_out_of_a_folder(text):
    network = Network(mirror="/usr/lib")
    for url in (f"https://{text}", f"https://host.org/{text}", text):
        try:
            found = network.locate(url)
        except BatError as error:
            assert "expected an address like https://host/path" in str(error)
        else:
            assert ".." not in found.parts
            assert found.is_relative_to("/usr/lib")


@pytest.mark.parametrize(
    "url",
    [
        "https://host.org/a/../b",
        "https://host.org/a/%2E%2e/b",
        "https://host.org/..%2fb",
        "https://../b",
        "ftp://host.org/b",
        "host.org/b",
        "https:///b",
        "https://[::1/b",
        "https://host.org:99999/b",
        "",
    ],
)
@pytest.mark.parametrize("mirror", [None, "/", "http://mirror.org"])
def test_what_is_no_plain_address_is_refused(url, mirror):
    with pytest.raises(BatError, match="expected an address like"):
        Network(mirror=mirror).locate(url)


def test_a_file_has_the_decoded_name():
    url = "https://huggingface.co/a/resolve/refs%2Fconvert%2Fparquet/b%20c.parquet"
    found = Network(mirror="/").locate(url)
    assert found == Path("/huggingface.co/a/resolve/refs%2Fconvert%2Fparquet/b c.parquet")


# --- the environment --------------------------------------------------------------------------


def test_an_empty_environment_gives_the_defaults():
    assert Network.from_environment({"BAT_MIRROR": "", "OTHER": "x"}) == Network()


def test_every_field_has_its_variable(tmp_path):
    environment = {
        "BAT_MIRROR": str(tmp_path),
        "BAT_OFFLINE": "Yes",
        "BAT_CONNECTIONS": "2",
        "BAT_TIMEOUT_S": "1.5",
        "BAT_TRIES": "3",
        "BAT_BACKOFF_S": "0",
        "BAT_MAXIMUM_WAIT_S": "7",
    }
    assert Network.from_environment(environment) == Network(
        mirror=str(tmp_path),
        offline=True,
        connections=2,
        timeout_s=1.5,
        tries=3,
        backoff_s=0.0,
        maximum_wait_s=7.0,
    )


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("BAT_OFFLINE", "maybe", "BAT_OFFLINE: expected 1 or 0, found 'maybe'"),
        ("BAT_CONNECTIONS", "many", "BAT_CONNECTIONS: expected a whole number, found 'many'"),
        ("BAT_CONNECTIONS", "0", r"connections \(BAT_CONNECTIONS\): expected at least 1, found 0"),
        ("BAT_TRIES", "0", "BAT_TRIES.*at least 1, found 0"),
        ("BAT_TIMEOUT_S", "0", "BAT_TIMEOUT_S.*more than 0 s, found 0"),
        ("BAT_TIMEOUT_S", "nan", "BAT_TIMEOUT_S.*found nan"),
        ("BAT_BACKOFF_S", "-1", "BAT_BACKOFF_S.*0 s or more, found -1"),
        ("BAT_MAXIMUM_WAIT_S", "inf", "BAT_MAXIMUM_WAIT_S.*found inf"),
        ("BAT_MIRROR", "/nowhere/at/all", "BAT_MIRROR.*a folder that exists or an address"),
        ("BAT_MIRROR", "https://", "expected an address like"),
        ("BAT_MIRROR", "https://host.org/a?token=SECRET", "without a query, found https://host"),
    ],
)
def test_nonsense_in_the_environment_is_named(variable, text, message):
    with pytest.raises(BatError, match=message) as error:
        Network.from_environment({variable: text})
    assert "SECRET" not in str(error.value)


def test_a_mirrors_password_is_not_shown():
    assert "SECRET" not in repr(Network(mirror="https://user:SECRET@host.org"))
    with pytest.raises(BatError) as error:
        Network(mirror="user:SECRET@host.org")
    assert "SECRET" not in str(error.value)


# --- who is shown a token -----------------------------------------------------------------------


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_SECRET")
    return "Bearer hf_SECRET"


def shown(request, session):
    return session.prepare_request(requests.Request("GET", request)).headers.get("Authorization")


def test_a_token_is_for_the_hub_alone(token):
    session = Network().session()
    assert shown(f"https://{HUB_FILE}", session) == token
    for url in (
        "http://huggingface.co/a",
        "https://huggingface.co.evil.org/a",
        "https://evil.org/huggingface.co/a",
        "https://huggingface.co:444/a",
        "https://cdn.huggingface.co/a",
    ):
        assert shown(url, session) is None


def test_with_a_mirror_a_token_is_for_its_hub_alone(token):
    session = Network(mirror="http://mirror.org/all").session()
    assert shown(f"http://mirror.org/all/{HUB_FILE}", session) == token
    assert shown("http://mirror.org/all/host.org/a", session) is None
    assert shown(f"https://{HUB_FILE}", session) is None


def test_a_mirrors_own_password_goes_before_a_token(token):
    session = Network(mirror="http://user:word@mirror.org").session()
    assert shown(f"http://user:word@mirror.org/{HUB_FILE}", session).startswith("Basic ")


def test_a_session_says_who_asks_and_keeps_addresses_out_of_logs(monkeypatch, caplog):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    caplog.set_level(logging.DEBUG)
    with FaultServer({"host.org/a": b"x"}) as server:
        session = Network(mirror=server.url).session()
        assert session.get(f"{server.url}/host.org/a?token=SECRET").content == b"x"
    assert server.log[0].agent.startswith("bat-pipeline/")
    assert server.log[0].authorization is None
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize("other", ["host", "path"])
def test_a_token_does_not_follow_to_another_host(token, other):
    with FaultServer({"cdn.org/x": b"x"}) as server:
        host = server.url if other == "path" else f"http://localhost:{server.port}"
        server.faults[HUB_FILE] = [redirect(f"{host}/cdn.org/x?signature=SECRET")]
        answer = Network(mirror=server.url).session().get(f"{server.url}/{HUB_FILE}")
    assert answer.content == b"x"
    assert [request.authorization for request in server.log] == [token, None]


def test_a_token_follows_within_the_hub(token):
    with FaultServer({HUB_FILE: b"x"}) as server:
        server.faults["huggingface.co/old"] = [redirect(f"/{HUB_FILE}")]
        Network(mirror=server.url).session().get(f"{server.url}/huggingface.co/old")
    assert [request.authorization for request in server.log] == [token, token]
