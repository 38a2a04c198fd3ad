"""What the hub on loopback answers to each request of huggingface_hub's."""

import base64
import hashlib
import json
import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import yaml
from hub_plumbing import Plumbing, Refusal

if TYPE_CHECKING:
    from hub_server import Repository

OWNER = "me"
WRITE = "hf_" + "w" * 34
READ = "hf_" + "r" * 34
LFS = (".safetensors", ".gguf", ".png", ".model", "tokenizer.json")
PAGE = 5
"""Entries of a listing at a time."""


class Handler(Plumbing):
    """Each route, over what the server keeps."""

    def token(self, write: bool = False) -> str | None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if given and given not in (READ, WRITE):
            raise Refusal(401, "Invalid credentials in Authorization header")
        if write and given is None:
            raise Refusal(401, "Invalid username or password.")
        if write and given == READ:
            raise Refusal(403, "Forbidden: you must use a write token to upload to a repository.")
        return given

    def repository(self, name: str, write: bool = False) -> "Repository":
        token, found = self.token(write), self.server.repositories.get(name)
        if found is None or (found.private and not token):
            raise Refusal(404 if token else 401, "Repository not found", "RepoNotFound")
        return found

    def tree(self, repository: "Repository", revision: str) -> tuple[str, dict]:
        """Commit and files of a branch, or of a commit."""
        for commits in repository.branches.values():
            for at, tree in enumerate(commits):
                if oid(commits, at) == revision:
                    return revision, tree
        if revision not in repository.branches:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        commits = repository.branches[revision]
        return oid(commits, len(commits) - 1), commits[-1]

    # The routes, in the order in which a push comes to them.

    def whoami(self) -> None:
        if not self.token():
            raise Refusal(401, "Invalid username or password.")
        self.json({"name": OWNER, "type": "user", "orgs": []})

    def create(self) -> None:
        asked = json.loads(self.body)
        owner = asked.get("organization") or OWNER
        name = f"{owner}/{asked['name']}"
        self.token(write=True)
        if owner != OWNER:
            raise Refusal(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')
        told = {"url": f"{self.server.address}/{name}", "name": name}
        if name in self.server.repositories:
            self.json({**told, "error": "You already created this model repo"}, 409)
            return
        self.server.add(name, private=asked.get("visibility") == "private")
        self.json(told)

    def info(self, name: str, revision: str | None = None) -> None:
        repository = self.repository(name)
        commit, tree = self.tree(repository, revision or "main")
        files = [{"rfilename": path} for path in tree]
        self.json({"id": name, "sha": commit, "private": repository.private, "siblings": files, "tags": []})

    def branch(self, name: str, branch: str) -> None:
        repository = self.repository(name, write=True)
        if branch in repository.branches:
            raise Refusal(409, f"Reference already exists: refs/heads/{branch}")
        repository.branches[branch] = repository.branches["main"][-1:]
        self.json({})

    def listing(self, name: str, revision: str) -> None:
        _, tree = self.tree(self.repository(name), revision)
        start = int(self.query.get("cursor", 0))
        more = f'<{self.server.address}{self.path.partition("?")[0]}?cursor={start + PAGE}>; rel="next"'
        headers = {"Link": more} if start + PAGE < len(tree) else {}
        self.json([entry(path, *about) for path, about in [*tree.items()][start : start + PAGE]], **headers)

    def paths(self, name: str, revision: str) -> None:
        _, tree = self.tree(self.repository(name), revision)
        asked = parse_qs(self.body.decode())["paths"]
        self.json([entry(path, *tree[path]) for path in asked if path in tree])

    def validate(self) -> None:
        head = re.match(r"---\n(.*?)\n---\n", json.loads(self.body)["content"], re.DOTALL)
        try:
            data = yaml.safe_load(head[1]) if head else {}
            wrong = [] if isinstance(data, dict) else ["it is no mapping"]
        except yaml.YAMLError as error:
            wrong = [str(error)]
        warnings = [] if head else [{"message": "empty or missing yaml metadata in repo card"}]
        self.json({"errors": [{"message": w} for w in wrong], "warnings": warnings}, 400 if wrong else 200)

    def preupload(self, name: str, revision: str) -> None:
        _, tree = self.tree(self.repository(name, write=True), revision)
        files = []
        for file in json.loads(self.body)["files"]:
            binary = b"\0" in base64.b64decode(file["sample"]) or file["size"] > 10_000_000
            mode = "lfs" if binary or file["path"].endswith(LFS) else "regular"
            git, sha, _ = tree.get(file["path"], (None, None, 0))
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": sha or git})
        self.json({"files": files})

    def batch(self, name: str) -> None:
        self.repository(name, write=True)
        objects = []
        for asked in json.loads(self.body)["objects"]:
            sha, count, made = asked["oid"], asked["size"], dict(asked)
            at, signed = f"{self.server.store}/{sha}", f"?X-Amz-Signature={secrets.token_hex(8)}"
            if not (self.server.folder / sha).exists():
                upload = {"href": at + signed}
                if count > self.server.part_size:
                    parts = range(1, -(-count // self.server.part_size) + 1)
                    header = {str(part): f"{at}/{part}{signed}" for part in parts}
                    upload = {"href": f"{at}/whole", "header": {"chunk_size": str(self.server.part_size), **header}}
                made["actions"] = {"upload": upload, "verify": {"href": f"{self.server.address}/verify"}}
            objects.append(made)
        self.json({"transfer": "basic", "objects": objects})

    def store(self, sha: str, part: str | None = None) -> None:
        if "X-Amz-Signature" not in self.query or "Authorization" in self.headers:
            raise Refusal(400, "the store takes a signed url, and no token")
        if part is None:
            self._whole(sha, self.body)
        else:
            self.server.keep(f"{sha}.{part}", self.body)
        self._answer(200, headers={"ETag": f'"{hashlib.md5(self.body).hexdigest()}"'})

    def complete(self, sha: str) -> None:
        parts = json.loads(self.body)["parts"]
        self._whole(sha, b"".join(self.server.read(f"{sha}.{part['partNumber']}") for part in parts))
        self.json({})

    def _whole(self, sha: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != sha:
            raise Refusal(400, "the digest is another one")
        self.server.keep(sha, content)
        self.server.uploaded.append(sha)

    def verify(self) -> None:
        self.token(write=True)
        asked = json.loads(self.body)
        if len(self.server.read(asked["oid"])) != asked["size"]:
            raise Refusal(404, "the object is not there")
        self.json({})

    def commit(self, name: str, revision: str) -> None:
        repository = self.repository(name, write=True)
        if revision not in repository.branches:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        lines = [json.loads(line) for line in self.body.splitlines()]
        assert lines[0]["key"] == "header" and lines[0]["value"]["summary"]
        tree = dict(repository.branches[revision][-1])
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                content = base64.b64decode(value["content"])
                git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
                self.server.keep(git, content)
                tree[value["path"]] = (git, None, len(content))
            elif line["key"] == "lfsFile":
                if not (self.server.folder / value["oid"]).exists():
                    raise Refusal(400, "a pointer to an object that is not there")
                tree[value["path"]] = (value["oid"], value["oid"], value["size"])
            else:
                assert line["key"] == "deletedFile"
                del tree[value["path"]]
        if tree == repository.branches[revision][-1]:
            raise Refusal(400, "the commit is empty")
        commits = repository.branches[revision]
        commits.append(tree)
        commit = oid(commits, len(commits) - 1)
        address = f"{self.server.address}/{name}/commit/{commit}"
        self.json({"success": True, "commitOid": commit, "commitUrl": address, "pullRequestUrl": None})

    def resolve(self, name: str, revision: str, path: str) -> None:
        commit, tree = self.tree(self.repository(name), revision)
        if path not in tree:
            raise Refusal(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": commit})
        git, sha, count = tree[path]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{git}"', "Accept-Ranges": "bytes"}
        if sha:
            linked = {"X-Linked-ETag": f'"{sha}"', "X-Linked-Size": str(count)}
            self._answer(302, headers={**headers, **linked, "Location": f"{self.server.store}/{sha}"})
        else:
            self._content(git, headers)

    def fetch(self, sha: str) -> None:
        if "Authorization" in self.headers:
            raise Refusal(400, "the store takes no token")
        self._content(sha)

    def _content(self, git: str, headers: dict[str, str] | None = None) -> None:
        content, asked = self.server.read(git), re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            self._answer(200, content, headers)
            return
        first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        told = {**(headers or {}), "Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self._answer(206, content[first : last + 1], told)


def oid(commits: list[dict], at: int) -> str:
    """A commit's id: of what it holds and what came before."""
    return hashlib.sha1(json.dumps(commits[: at + 1], sort_keys=True).encode()).hexdigest()


def entry(path: str, git: str, sha: str | None, count: int) -> dict:
    """A file, in a listing."""
    made = {"type": "file", "path": path, "size": count, "oid": git[:40]}
    return {**made, "lfs": {"oid": sha, "size": count, "pointerSize": 134}} if sha else made


REPO = r"([\w.-]+/[\w.-]+)"
Handler.routes = [
    (r"GET /api/whoami-v2", Handler.whoami),
    (r"POST /api/repos/create", Handler.create),
    (r"POST /api/validate-yaml", Handler.validate),
    (rf"GET /api/models/{REPO}", Handler.info),
    (rf"GET /api/models/{REPO}/revision/(.+)", Handler.info),
    (rf"POST /api/models/{REPO}/branch/(.+)", Handler.branch),
    (rf"GET /api/models/{REPO}/tree/(.+)", Handler.listing),
    (rf"POST /api/models/{REPO}/paths-info/(.+)", Handler.paths),
    (rf"POST /api/models/{REPO}/preupload/(.+)", Handler.preupload),
    (rf"POST /{REPO}\.git/info/lfs/objects/batch", Handler.batch),
    (r"PUT /store/(\w+)(?:/(\d+))?", Handler.store),
    (r"POST /store/(\w+)/whole", Handler.complete),
    (r"POST /verify", Handler.verify),
    (rf"POST /api/models/{REPO}/commit/(.+)", Handler.commit),
    (rf"(?:GET|HEAD) /{REPO}/resolve/([^/]+)/(.+)", Handler.resolve),
    (r"(?:GET|HEAD) /store/(\w+)", Handler.fetch),
]
