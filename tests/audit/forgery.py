"""What somebody with a text editor, or with this project's code, can do to records."""

import json
import shutil

from bat.provenance.hashing import canonical_json, digest, sha256_of_file
from bat.provenance.recipe import RECIPE, RUN_LOG
from bat.provenance.register import ORIGIN, REGISTER, Entry, entry_name


def path_of(number):
    return REGISTER / entry_name(number)


def read(number):
    return Entry.parse(path_of(number).read_bytes())


def make_anew(entries):
    """Write a register of these entries whose chain holds, as a forger would."""
    shutil.rmtree(REGISTER)
    REGISTER.mkdir()
    previous, recorded = ORIGIN, entries[0].recorded
    for number, entry in enumerate(entries, start=1):
        recorded = max(recorded, entry.recorded)
        links = {"number": number, "previous": previous, "recorded": recorded}
        path_of(number).write_text(entry.model_copy(update=links).text())
        previous = sha256_of_file(path_of(number))


def rewrite(number, **changes):
    """Edit an entry so that it still reads well."""
    path_of(number).write_text(read(number).model_copy(update=changes).text())


def edit_recipe_and_outputs(folder, name, content):
    """Change a result and all that vouches for it in its folder, hashes and run log included."""
    (folder / name).write_bytes(content)
    recipe = json.loads((folder / RECIPE).read_text())
    for output in recipe["outputs"]:
        if output["name"] == name:
            output |= {"sha256": sha256_of_file(folder / name), "bytes": len(content)}
    (folder / RECIPE).write_text(canonical_json(recipe))
    run = json.loads((folder / RUN_LOG).read_text())
    (folder / RUN_LOG).write_text(canonical_json(run | {"recipe": digest(recipe)}))
