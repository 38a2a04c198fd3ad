"""A hub on loopback that keeps what it gets as the real one does, and fails where a test wants it to."""

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path

from hub_routes import LFS, OWNER, READ, WRITE, Handler

__all__ = ["OWNER", "READ", "WRITE", "Fault", "HubServer", "Repository"]

ATTRIBUTES = b"".join(f"*{end} filter=lfs diff=lfs merge=lfs -text\n".encode() for end in LFS)


@dataclass
class Fault:
    """What goes wrong, at requests whose `METHOD /path` matches, and how often."""

    where: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: str = '{"error": "as the test wants it"}'
    times: int = 1
    cut: bool = False
    """Break the connection: half way through what is sent, or before the answer."""
    lost: bool = False
    """Do what was asked, and break the connection instead of the answer."""
    stall: bool = False
    """Take half of what is sent, and then nothing more."""


@dataclass
class Repository:
    """Branch -> its commits, each a mapping of path -> (git id, sha256 of an LFS file or None, size)."""

    private: bool
    branches: dict[str, list[dict]] = field(default_factory=dict)


class HubServer(ThreadingHTTPServer):
    """Serves in a thread of its own from `with` to its end.

    Attributes:
        repositories: Id -> what it is.
        requests: `METHOD /path` of each, in order.
        uploaded: SHA-256 of each object that arrived whole, in order.
        faults: Taken from the front, where they match.
        part_size: Objects above it are sent in parts.
    """

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.address = folder, f"http://127.0.0.1:{self.server_port}"
        self.store = f"http://localhost:{self.server_port}/store"  # another host by its name, as that of the real hub
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.uploaded: list[str] = []
        self.faults: list[Fault] = []
        self.part_size = 5_000_000
        self.stalled = threading.Event()
        self.lock = threading.RLock()

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address) -> None:
        pass  # clients that are killed break connections

    def environment(self, token: str | None = WRITE) -> dict[str, str]:
        """For a client's process; it has a home of its own."""
        home = {"HF_HOME": str(self.folder / "home"), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        return {"HF_ENDPOINT": self.address, "HF_TOKEN": token or "", **home, "NO_PROXY": "127.0.0.1,localhost"}

    def files(self, repo: str, branch: str = "main") -> dict[str, bytes]:
        """What a branch holds."""
        return {path: self.read(git) for path, (git, _, _) in self.repositories[repo].branches[branch][-1].items()}

    def read(self, git: str) -> bytes:
        return (self.folder / git).read_bytes()

    def keep(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    def add(self, repo: str, private: bool = True) -> Repository:
        made = Repository(private, {"main": [{}]})
        self.repositories[repo] = made
        self.put(made, "main", {".gitattributes": ATTRIBUTES})
        return made

    def put(self, repository: Repository, branch: str, files: dict[str, bytes]) -> None:
        """Commit regular files."""
        tree = dict(repository.branches[branch][-1])
        for path, content in files.items():
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            self.keep(git, content)
            tree[path] = (git, None, len(content))
        repository.branches[branch].append(tree)
