"""A folder's files kept with a scheduler, for workers that share no folder with the client."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from distributed import Client, Variable, get_worker

LONGEST_VALUE = 64 * 2**20  # bytes of a file that travel as one message


class Mirror:
    """A folder's files kept with the scheduler as well, for workers that share no folder with the client.

    Args:
        name: of the folder, the same on every machine.
        folder: where it is here.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder

    def push(self) -> None:
        """Send the files that are new or gone since the last push; a reader sees this state or the one before."""
        with _client() as client:
            known = self._index(client)
            current = {
                str(p.relative_to(self.folder)): [p.stat().st_mtime_ns, p.stat().st_size]
                for p in sorted(self.folder.rglob("*"))
                if p.is_file() and not p.name.startswith(".")
            }
            for path, stamp in current.items():
                if known.get(path) != stamp:
                    self._send(client, path)
            Variable(f"{self.name}/index", client).set(current)
            for path in known.keys() - current.keys():
                self._forget(client, path, known[path])

    def pull(self) -> None:
        """Write here the files of the last push, where they differ; what was not pushed is removed."""
        with _client() as client:
            known = self._index(client)
            if not known:
                return
            for path in [p for p in self.folder.rglob("*") if p.is_file() and not p.name.startswith(".")]:
                if str(path.relative_to(self.folder)) not in known:
                    path.unlink()
            for path, (stamp, size) in known.items():
                target = self.folder / path
                if target.exists() and target.stat().st_mtime_ns == stamp and target.stat().st_size == size:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with open(target, "wb") as file:
                    for i in range(_messages(size)):
                        file.write(Variable(f"{self.name}/{path}/{i}", client).get(timeout="60s"))
                os.utime(target, ns=(stamp, stamp))

    def drop(self) -> None:
        """Have the scheduler forget all of it."""
        with _client() as client:
            for path, stamp in self._index(client).items():
                self._forget(client, path, stamp)
            Variable(f"{self.name}/index", client).delete()

    def _index(self, client: Client) -> dict:
        try:
            return Variable(f"{self.name}/index", client).get(timeout="1s")
        except TimeoutError:
            return {}

    def _send(self, client: Client, path: str) -> None:
        content = (self.folder / path).read_bytes()
        for i in range(_messages(len(content))):
            Variable(f"{self.name}/{path}/{i}", client).set(content[i * LONGEST_VALUE : (i + 1) * LONGEST_VALUE])

    def _forget(self, client: Client, path: str, stamp: list) -> None:
        for i in range(_messages(stamp[1])):
            Variable(f"{self.name}/{path}/{i}", client).delete()


def _messages(size: int) -> int:
    return max(1, -(-size // LONGEST_VALUE))


@contextlib.contextmanager
def _client() -> Iterator[Client]:
    """The client of this process: the worker's, or the one that `connect` made."""
    try:
        yield get_worker()._get_client()
    except ValueError:
        yield Client.current()
