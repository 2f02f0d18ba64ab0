"""An executor on a Ray cluster, or on a Ray of this machine's own: one actor a run at a time.

Results come back to this machine, which alone writes files; so do checkpoints of runs that were stopped.  Machines need the versions and
the suite's code of this one, which is checked before the first run, and code of others at the same path.
"""

from __future__ import annotations

import importlib
import pickle
import platform
import queue
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from solvers.versions import version_changes

from .audit import current_provenance
from .checkpoints import Checkpoints
from .executors import Executor, ExecutorError, Report, Stop, Task, Worker, supervise
from .system import usable_cores

PATIENCE = 5.0
"""Seconds that an actor waits for something to say before it answers with nothing."""


class RayCluster(Executor):
    """Actors on a Ray cluster, each with one core; without an address, on a Ray that is started here and ends with the command."""

    def __init__(self, workers: int = 0, address: str = "") -> None:
        self.ray, self.workers, self.address = importlib.import_module("ray"), workers, address

    def run(
        self, jobs: Sequence[Any], task: Task, *, report: Report, say: Callable[[str], None], interrupted: Stop
    ) -> Generator[dict[str, Any]]:
        content = pickle.dumps((task, task.preparation()))
        with self._connection():
            count = self.workers or max(1, int(self.ray.cluster_resources().get("CPU", 1)))
            actor = self.ray.remote(num_cpus=1, max_concurrency=3)(_Actor)  # threads of a run, of what it says, and of the word to stop
            yield from supervise(
                jobs,
                count,
                lambda: _RayWorker(self.ray, actor.remote(content, sys.path), task.kept),
                self._wait,
                report=report,
                say=say,
                interrupted=interrupted,
            )

    @contextmanager
    def _connection(self) -> Iterator[None]:
        """Ray, started here unless somebody has; it leaves the signals as they are."""
        if self.ray.is_initialized():
            yield
            return
        before = signal.getsignal(signal.SIGTERM)
        here: dict[str, Any] = {"num_cpus": self.workers or usable_cores(), "include_dashboard": False}
        self.ray.init(**({"address": self.address} if self.address else here), logging_level="ERROR", log_to_driver=False)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
        try:
            yield
        finally:
            self.ray.shutdown()

    def _wait(self, workers: Sequence[Any], seconds: float) -> None:
        self.ray.wait([worker.answer for worker in workers], timeout=seconds)


class _RayWorker(Worker):
    """An actor, and the answer that is expected of it."""

    ready = False

    def __init__(self, ray: Any, actor: Any, kept: Checkpoints) -> None:
        self.ray, self.actor, self.kept = ray, actor, kept
        self.answer = actor.listen.remote()

    def assign(self, job: Any) -> None:
        self.job = job
        path = self.kept.path(job.id)
        self.actor.execute.remote(job.id, pickle.dumps(job), path.read_bytes() if path.exists() else None)

    def stop(self) -> None:
        self.actor.stop.remote()

    def messages(self) -> Iterator[tuple[str, Any]]:
        while self.ray.wait([self.answer], timeout=0)[0]:
            try:
                said = self.ray.get(self.answer)
            except self.ray.exceptions.RayError as error:
                yield "ended", f"its worker on Ray ended ({' '.join(str(error).split())[:300]})"
                return
            self.answer = self.actor.listen.remote()
            yield from map(self._message, said)

    def _message(self, said: tuple[str, Any]) -> tuple[str, Any]:
        """A message as `supervise` takes it: versions are compared, and a checkpoint is written, on this machine."""
        kind, content = said
        if kind == "ready" and (changed := version_changes(content["made_by"], current_provenance())):
            raise ExecutorError(f"the worker on {content['node']} has {changed}; install the same there, for results would differ")
        if kind == "result" and content[1] is not None:
            self.kept.restore(content[0]["id"], content[1])
        return kind, content[0] if kind == "result" else content

    def kill(self) -> None:
        self.ray.kill(self.actor)

    def close(self) -> None:
        self.kill()


class _Actor:
    """A worker at its own end: everything that it says goes through one queue."""

    def __init__(self, content: bytes, path: list[str]) -> None:
        sys.path.extend(place for place in path if place not in sys.path)
        self.task, prepare = pickle.loads(content)
        prepare()
        self.folder = tempfile.TemporaryDirectory()
        self.kept = Checkpoints(Path(self.folder.name))
        self.stopping = threading.Event()
        self.messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.messages.put(("ready", {"made_by": current_provenance(), "node": platform.node()}))

    def listen(self) -> list[tuple[str, Any]]:
        """What there is to hear since the last call; waits for it, but not for ever."""
        try:
            said = [self.messages.get(timeout=PATIENCE)]
        except queue.Empty:
            return []
        while not self.messages.empty():
            said.append(self.messages.get())
        return said

    def execute(self, id: str, content: bytes, checkpoint: bytes | None) -> None:
        """Run a job, from its checkpoint if there is one; what it leaves as a checkpoint is said with its result."""
        try:
            job = pickle.loads(content)
            if checkpoint is not None:
                self.kept.restore(id, checkpoint)
        except Exception as error:  # of code that this machine does not have, or of its disk
            result = {"id": id, "failed": f"run {id} cannot begin on {platform.node()}: {type(error).__name__}: {error}"}
        else:
            result = self.task.attempt(job, lambda id, used: self.messages.put(("used", (id, used))), self.stopping.is_set, kept=self.kept)
        left = self.kept.path(id)
        self.messages.put(("result", (result, left.read_bytes() if "stopped" in result and left.exists() else None)))
        self.kept.discard(id)

    def stop(self) -> None:
        """Ask the running job to stop."""
        self.stopping.set()
