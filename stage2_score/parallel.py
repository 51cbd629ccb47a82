"""Several trainings at once: small networks on one core each beat one network on all cores."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from ra import track
from ra.config import UserError
from stage2_score.config import cores

MEMORY_JOBS = 4  # a training process takes up to 2 GB


def count(flag: int, n_tasks: int, device: str) -> int:
    """Processes to run: what --jobs says, else one per core (at most 4), one when the device is a GPU."""
    wanted = flag or (min(cores(), MEMORY_JOBS) if device == "cpu" else 1)
    return max(1, min(wanted, n_tasks))


def device(flag: str) -> str:
    """What --device names, checked: auto is the GPU when there is one."""
    import torch

    if flag == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if flag != "cpu" and not (flag.startswith("cuda") and torch.cuda.is_available()):
        raise UserError(f"--device {flag}: this machine offers {'cpu, cuda' if torch.cuda.is_available() else 'cpu only'}")
    return flag


def set_threads(n: int) -> None:
    """Threads of torch in this process; more of them than cores is slower."""
    import torch

    torch.set_num_threads(n)


def _start(threads: int, parent: int) -> None:
    """In a new process: take its share of the cores, and end when the process that asked for it has been killed."""
    set_threads(threads)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run(function: Callable[..., Any], tasks: list[tuple], jobs: int, what: str) -> Iterator[Any]:
    """Results of function(*task) as they come; in this process when jobs is 1."""
    threads = max(1, cores() // jobs)
    if jobs == 1:
        set_threads(threads)
        for task in track.progress(tasks, what):
            yield function(*task)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(threads, os.getpid()))
    try:
        futures = [pool.submit(function, *task) for task in tasks]
        for future in track.progress(as_completed(futures), what, total=len(futures)):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
