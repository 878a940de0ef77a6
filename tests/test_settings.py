"""YAML is read strictly: nothing is ignored, nothing is a traceback."""

import pytest

from foundation.errors import InputError, nearest
from foundation.settings import read_packaged_yaml, read_yaml, refuse_unknown_keys


def read(tmp_path, text):
    path = tmp_path / "job.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path)


def test_a_mapping_is_read_with_what_lies_below_it(tmp_path):
    text = "gallery: county\nlimits:\n  max_yaw: 0.4\nlist: [1, {a: b}]\n"
    assert read(tmp_path, text) == {"gallery": "county", "limits": {"max_yaw": 0.4}, "list": [1, {"a": "b"}]}


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "x:\n  a: 1\n  a: 1\n", "x: [{a: 1, a: 2}]\n"])
def test_a_doubled_key_is_refused_with_its_place(tmp_path, text):
    with pytest.raises(InputError, match=r"job\.yaml .*: key 'a' stands twice; keep one of them .*line \d"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "a: [1\n",
        "a: b: c\n",
        "\tx: 1\n",
        "a: \x01\n",
        "a: *nobody\n",
        "a: &a {b: *a}\n",
        "a: !!python/object/apply:os.system [id]\n",
        "taken: 2020-13-45\n",
        "a: 1\n---\nb: 2\n",
        "[" * 5000,
    ],
)
def test_what_is_no_plain_yaml_is_refused_on_one_line(tmp_path, text):
    with pytest.raises(InputError, match=r"job\.yaml is not valid YAML") as raised:
        read(tmp_path, text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["? [a]\n: b\n", "? {a: b}\n: c\n"])
def test_a_key_that_is_no_word_is_refused(tmp_path, text):
    with pytest.raises(InputError, match=r"job\.yaml .*: a key is no plain word.* line 1"):
        read(tmp_path, text)


@pytest.mark.parametrize("text", ["", "# nothing\n", "just words\n", "- a\n- b\n", "42\n"])
def test_a_file_without_keys_is_refused(tmp_path, text):
    with pytest.raises(InputError, match="holds no 'key: value' lines"):
        read(tmp_path, text)


def test_files_that_cannot_be_read_are_named(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InputError, match=r"cannot be read .*name an existing YAML file"):
            read_yaml(path)
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path, b"a: \xff\n")


def test_an_unknown_key_is_refused_with_the_nearest_and_all(tmp_path):
    with pytest.raises(InputError, match=r"here: unknown key 'galery'; did you mean 'gallery'\? \(known: a, gallery\)"):
        refuse_unknown_keys(["a", "galery"], ["gallery", "a"], "here")
    with pytest.raises(InputError, match="unknown key 7 "):
        refuse_unknown_keys([7], ["gallery"], "here")
    assert nearest("qqq", ["gallery"]) == ""


def test_packaged_files_are_read_as_strictly():
    assert read_packaged_yaml("kinds.yaml")
