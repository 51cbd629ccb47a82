"""Several trainings at once: small networks on one core each are faster than one network on all cores."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from ra import cli, training_log

MEMORY_JOBS = 4  # a training process takes up to 2 GB


def cores() -> int:
    """Cores that this process may use: those of its affinity, fewer if OMP_NUM_THREADS limits them."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(available, int(limit))) if limit.isdigit() else available


def n_processes(jobs: int, n_tasks: int, device: str) -> int:
    """Processes to run: --jobs if it is given, else one per core (at most 4), or one when the device is a GPU."""
    wanted = jobs or (min(cores(), MEMORY_JOBS) if device == "cpu" else 1)
    return max(1, min(wanted, n_tasks))


def choose_device(name: str) -> str:
    """torch's name of the device for the --device flag; UserError if this machine does not have it."""
    import torch

    return cli.device(name, torch.cuda.is_available())


def set_threads(n: int) -> None:
    """Limit torch's threads in this process; more threads than cores are slower."""
    import torch

    torch.set_num_threads(n)


def _start_process(threads: int, parent: int) -> None:
    """Set up a new process: take its share of the cores, and exit once the parent process has been killed."""
    set_threads(threads)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run(function: Callable[..., Any], tasks: list[tuple], jobs: int, what: str) -> Iterator[Any]:
    """Yield the results of function(*task) as they are finished; in this process when jobs is 1."""
    threads = max(1, cores() // jobs)
    if jobs == 1:
        set_threads(threads)
        for task in training_log.progress(tasks, what):
            yield function(*task)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_process, initargs=(threads, os.getpid()))
    try:
        futures = [pool.submit(function, *task) for task in tasks]
        for future in training_log.progress(as_completed(futures), what, total=len(futures)):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
