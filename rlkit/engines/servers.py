"""Several vLLM servers that share what there is to do, and may fail."""

import logging
import queue
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rlkit.engines.server import Server, ServerError
from rlkit.errors import RunError

logger = logging.getLogger("rlkit")


class Servers:
    """Servers in the order that they were given in; those that failed are `lost`, each with its last error.

    Args:
        members: The servers.
        remedy: The command line that starts one, for messages.
    """

    retries, pause = 4, 1.0
    """How often a failed request is sent again, and the seconds before the first time; they double."""

    def __init__(self, members: Sequence[Server], remedy: str):
        self.members, self.remedy = list(members), remedy
        self.lost: dict[Server, ServerError] = {}

    def live(self) -> list[Server]:
        """Those that are not lost.

        Raises:
            RunError: None is left.
        """
        if found := [server for server in self.members if server not in self.lost]:
            return found
        said = "\n".join(f"  {server.address}: {error}" for server, error in self.lost.items())
        raise RunError(
            f"generation.servers: none is left:\n{said}\n"
            f"start them again ({self.remedy}), then go on from the last checkpoint with --resume"
        )

    def drop(self, server: Server, error: ServerError) -> None:
        """Give a server nothing more to do."""
        if server not in self.lost:
            logger.warning("generation.servers: %s is dropped until the next sync: %s", server.address, error)
        self.lost[server] = error

    def take_back(self, server: Server) -> None:
        """Count on a server again."""
        del self.lost[server]
        logger.warning("generation.servers: %s is back", server.address)

    def each(self, act: Callable[[Server], None], servers: Sequence[Server]) -> dict[Server, ServerError]:
        """Do something with servers side by side; gives those that failed."""

        def failure(server: Server) -> ServerError | None:
            try:
                act(server)
            except ServerError as error:
                return error
            return None

        if not servers:
            return {}
        with ThreadPoolExecutor(len(servers)) as pool:
            results = zip(servers, pool.map(failure, servers), strict=True)
            return {server: error for server, error in results if error is not None}

    def patiently(self, server: Server, act: Callable[[], Any]) -> Any:
        """Do something again, after a while, where what went wrong may pass."""
        attempt = 0
        while True:
            try:
                if attempt:
                    server.base()  # a server that hangs is found out before it is waited for again
                return act()
            except ServerError as error:
                if attempt == self.retries or not error.passing or server in self.lost:
                    raise
            time.sleep(self.pause * 2**attempt * random.uniform(0.75, 1.25))
            attempt += 1

    def share(
        self, count: int, act: Callable[[Server, int], Any], width: int, done: Callable[[int], None] | None = None
    ) -> list[Any]:
        """What `act` gives for 0, 1, ... `count` - 1, in this order, each done by a server that was free.

        A server that fails is dropped, and what it had under way is given to the others.

        Args:
            count: Of things to do.
            act: Does one; raises ServerError where the server failed.
            width: Things that a server does at a time.
            done: Hears how many are done.

        Raises:
            RunError: No server is left.
        """
        waiting, under_way = deque(range(count)), dict[int, Server]()
        made: dict[int, Any] = {}
        ended: queue.SimpleQueue[tuple[Server, int, Any]] = queue.SimpleQueue()

        def attempt(server: Server, index: int) -> None:
            try:
                ended.put((server, index, self.patiently(server, lambda: act(server, index))))
            except BaseException as error:
                ended.put((server, index, error))

        while waiting or under_way:
            live, load = self.live(), Counter(under_way.values())
            fair = min(width, -(-count // len(live)))  # few things are spread, not all given to the first
            while waiting and load[server := min(live, key=lambda server: load[server])] < fair:
                index = waiting.popleft()
                under_way[index] = server
                load[server] += 1
                # Nobody waits for the thread of a server that was dropped: it may hang.
                threading.Thread(target=attempt, args=(server, index), daemon=True).start()
            server, index, result = ended.get()
            if under_way.get(index) is not server:
                continue
            if isinstance(result, ServerError):
                self.drop(server, result)
                back = sorted((i for i, by in under_way.items() if by is server), reverse=True)
                waiting.extendleft(back)
                under_way = {i: by for i, by in under_way.items() if by is not server}
            elif isinstance(result, BaseException):
                raise result
            else:
                del under_way[index]
                made[index] = result
                if done:
                    done(len(made))
        return [made[index] for index in range(count)]
