"""Runs contenders by turns and compares them: each is a worker process (worker.c, wine_worker.c) that is
told how often to run and answers with the nanoseconds of each run.

The contenders of a group take turns in random order, in bursts of a few milliseconds, so that what else
the machine does meets all of them alike; what counts is the minimum. All get the same time, so that slow
ones run less often.
"""
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import tempfile
import time

BURST = 2e-3         # seconds a turn
BURST_RUNS_MAX = 20
TURNS_MIN, TURNS_MAX = 5, 4000
WINE = ('/usr/lib/wine/wine64', '/usr/bin/wine64')


class BenchError(Exception):
    """A contender cannot run, or has done the wrong thing."""


class Places:
    """Where things of a build lie, and where this run keeps its own."""

    def __init__(self, build):
        self.build = pathlib.Path(build).absolute()
        self.bench = self.build / 'tests' / 'bench'
        self.twins = self.bench / 'twins'
        self.twins.mkdir(parents=True, exist_ok=True)
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix='run-', dir=self.bench))
        self.caches = 0
        self.runtime = self.scratch / 'runtime'
        self.runtime.mkdir(mode=0o700)

    def program(self, name, word):
        path = self.bench / (name + ('32' if word == '32' else ''))
        if not path.exists():
            raise BenchError(f'{path} is missing: build it')
        return str(path)

    def command(self, word):
        return str(self.build / 'tools' / ('peldr32' if word == '32' else 'peldr'))

    def hello(self, word):
        return str(self.build / 'samples' / f'mingw{word}' / 'hello.exe')

    def copied(self, path):
        """As it would be when it is installed: linkers write here and there, and how the kernel keeps a file
        in memory, which is worth a tenth of a program's start, depends on how it was written."""
        return shutil.copy(path, self.scratch)

    def cache(self):
        """A cache of its own for each contender: none finds what another one has built."""
        self.caches += 1
        folder = self.scratch / f'cache{self.caches}'
        folder.mkdir(mode=0o700)
        return str(folder)

    def environment(self, cache='off'):
        env = dict(os.environ, XDG_RUNTIME_DIR=str(self.runtime), PELDR_CACHE=str(cache))
        for name in ('MALLOC_PERTURB_', 'LD_LIBRARY_PATH'):  # meson sets them for tests
            env.pop(name, None)
        return env

    def wine(self, word):
        """The command that runs a program in Wine and the environment, or None."""
        program = self.bench / 'wine_worker.exe'
        wine = next((w for w in WINE if os.path.exists(w)), None)
        if word != '64' or not wine or not program.exists():
            return None
        env = self.environment()
        env.update(WINEPREFIX=str(self.bench / 'wine'), WINEDEBUG='-all', WINEDLLOVERRIDES='mscoree,mshtml=',
                   DISPLAY='')
        return [wine, str(program)], env

    def close(self):
        shutil.rmtree(self.scratch, ignore_errors=True)


def windows_path(path):
    return 'Z:' + str(path).replace('/', '\\')


class Worker:
    def __init__(self, name, command, env):
        self.name, self.times, self.faults = name, [], []
        self.process = subprocess.Popen([str(c) for c in command], env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.turns, self.spent, self.cost = 0, 0.0, float('inf')

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            error = self.process.stderr.read().strip()
            raise BenchError(f'{self.name}: {error or "ended"} (status {self.process.wait()})')
        return line.split()

    def run(self, count):
        """Runs it so often; the seconds that took by the clock on the wall, where all counts that is not
        timed, like the start of a process."""
        begin = time.perf_counter()
        self.process.stdin.write(f'{count}\n')
        self.process.stdin.flush()
        faults, *times = [int(n) for n in self.line()]
        seconds = time.perf_counter() - begin
        self.faults.append(faults / count)
        self.times += times
        self.cost = min(self.cost, seconds / count)
        return seconds

    def warm_up(self):
        if self.line() != ['ready']:
            raise BenchError(f'{self.name} is no worker')
        for _ in range(2):
            self.run(1)
        self.times.clear()
        self.faults.clear()

    def turn(self):
        self.turns += 1
        self.spent += self.run(max(1, min(BURST_RUNS_MAX, int(BURST / self.cost))))

    @property
    def best(self):
        return min(self.times) / 1e3

    @property
    def least_faults(self):
        return min(self.faults)

    @property
    def median(self):
        return statistics.median(self.times) / 1e3

    def close(self):
        try:
            self.process.stdin.close()
            self.process.wait(timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


def next_of(workers, time_is_up):
    """Somebody whose turn it is, by chance among those who have had the least time; None: all are done."""
    waiting = [w for w in workers if w.turns < TURNS_MIN or (not time_is_up and w.turns < TURNS_MAX)]
    waiting.sort(key=lambda worker: worker.spent)
    return random.choice(waiting[:(len(waiting) + 1) // 2]) if waiting else None


def measure(workers, seconds):
    """Runs the workers by turns for about `seconds`; returns {name: Worker} with the times, all ended."""
    try:
        for worker in workers:
            worker.warm_up()
        end = time.monotonic() + seconds
        while (worker := next_of(workers, time.monotonic() > end)) is not None:
            worker.turn()
    finally:
        for worker in workers:
            worker.close()
    return {worker.name: worker for worker in workers}
