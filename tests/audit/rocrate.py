"""The validator of RO-Crates, as its users run it, with the net off."""

import io
import json
import subprocess
import sys
from pathlib import Path

import requests
from requests_cache import CachedSession
from urllib3.response import HTTPResponse

# As published at the address that crates name; in the public domain (CC0), which its text says.
CONTEXT = Path(__file__).parents[1] / "fixtures" / "ro-crate-1.1-context.jsonld"
PROFILE = "provenance-run-crate-0.5"


def warm_cache(folder):
    """Put the one document that validation reads from the net into the validator's cache."""
    text = CONTEXT.read_bytes()
    url = json.loads(text)["@id"]
    headers = {"Content-Type": "application/ld+json"}
    response = requests.Response()
    response.status_code, response.url, response.encoding = 200, url, "utf-8"
    response.headers.update(headers)
    response.request = requests.Request("GET", url).prepare()
    response.raw = HTTPResponse(
        io.BytesIO(text), headers, 200, preload_content=False, request_url=url
    )
    cache = folder / "http"
    with CachedSession(str(cache), backend="sqlite", expire_after=-1) as session:
        session.cache.save_response(response)
    return cache


def validate(crate, cache):
    """Hold a crate against all that its profile and those below it require."""
    program = Path(sys.executable).with_name("rocrate-validator")
    command = [program, "--no-interactive", "--disable-color", "validate", crate]
    command += ["--profile-identifier", PROFILE, "--requirement-severity", "required"]
    command += ["--offline", "--cache-path", cache, "--output-format", "json", "--no-paging"]
    return subprocess.run(command, capture_output=True, text=True, check=False)
