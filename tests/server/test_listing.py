"""Keys in order, against a plain list of all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from labelog_server.listing import Asked, keys

NAMES = st.sampled_from(["a", "a.json", "a-b", "b", "10", "9", "zz"])  # "a-b" < "a.json" < "a/" < "aa"
KEYS = st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), max_size=15)


def tree(chosen):
    """The keys that can lie in folders together: none is a folder of another."""
    return sorted({key for key in chosen if not any(other.startswith(f"{key}/") for other in chosen)})


def expected(all_keys, asked):
    found = []
    for key in all_keys:
        cut = key.find("/", len(asked.prefix)) if asked.grouped else -1
        shown = key if cut < 0 else key[: cut + 1]
        if key.startswith(asked.prefix) and key > asked.after and shown != asked.after and shown not in found:
            found.append(shown)
    return found


@given(KEYS, st.lists(NAMES, max_size=3), st.sampled_from(["", "/"]), st.integers(0, 8), st.booleans(), st.data())
def test_as_of_a_plain_list(chosen, prefix, ending, cut, grouped, data):
    all_keys, looked = tree(chosen), []
    folders = {key[: at + 1] for key in all_keys for at, letter in enumerate(key) if letter == "/"}
    after = data.draw(st.sampled_from(["", "a", "b/1", "zz/", *all_keys, *sorted(folders)]))
    asked = Asked(("/".join(prefix) + ending)[:cut], grouped, after)

    def children(folder):
        looked.append(folder)
        rest = [key.removeprefix(folder).partition("/") for key in all_keys if key.startswith(folder)]
        return sorted({name + slash for name, slash, _ in rest})

    assert list(keys(children, asked)) == expected(all_keys, asked)
    assert all(folder.startswith(asked.prefix) or asked.prefix.startswith(folder) for folder in looked)
