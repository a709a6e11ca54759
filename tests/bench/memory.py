"""What the same image costs in memory that 8 processes have loaded, as the kernel counts it: Pss (shared
pages divided by those who share them) and private pages, of the image's addresses only."""
import subprocess

import bench
import pepatch

PROCESSES = 8
BOUND = 1.02


class Holder:
    """A process that has the image loaded, every page of it read."""

    def __init__(self, name, command, env):
        self.process = subprocess.Popen([str(c) for c in command], env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().split()
        if len(line) < 2:
            raise bench.BenchError(f'{name}: {self.process.stderr.read().strip()}')
        self.base, self.size = int(line[0], 16), int(line[1], 16)

    def usage(self):
        """(Pss, private) in bytes."""
        pss = private = 0
        inside = False
        with open(f'/proc/{self.process.pid}/smaps', encoding='ascii', errors='replace') as smaps:
            for line in smaps:
                field, *rest = line.split()
                if not field.endswith(':'):
                    begin, end = (int(n, 16) for n in field.split('-'))
                    inside = self.base <= begin and end <= self.base + self.size + 0xfff
                elif inside and field == 'Pss:':
                    pss += int(rest[0]) << 10
                elif inside and field in ('Private_Clean:', 'Private_Dirty:'):
                    private += int(rest[0]) << 10
        return pss, private

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def hold(run, name, command, env):
    """Measures and notes; returns the largest Pss of a process as a ratio to its fair share."""
    holders = []
    try:
        for _ in range(PROCESSES):
            holders.append(Holder(name, command, env))
        usages = [holder.usage() for holder in holders]
        size = holders[0].size
    finally:
        for holder in holders:
            holder.close()
    if min(pss for pss, _ in usages) == 0:
        raise bench.BenchError(f'{name}: no memory is seen at its addresses')
    ratio = max(pss for pss, _ in usages) / (size / PROCESSES)
    run.notes.append(f'{name:36} Pss {max(p for p, _ in usages) >> 10:7} KiB, private '
                     f'{max(p for _, p in usages) >> 10:7} KiB a process; of size/{PROCESSES}: {ratio:.2f}')
    return ratio


def part(run):
    run.notes.append(f'{PROCESSES} processes with the same 16 MB image, every page read, {run.word}-bit')
    for fixups, text in (('none', 'not moved'), ('million', '1M fixups, moved')):
        image = run.twins.image(run.word, '16m', fixups)
        moved = fixups != 'none'
        base, size = pepatch.preferred_range(image['pe'])
        taken = ['--take', f'{base},{size}'] if moved else []
        worker, worker_peldr = (run.places.program(p, run.word) for p in ('worker', 'worker_peldr'))
        env = run.places.environment(run.places.cache())
        ratio = hold(run, f'peldr, {text}', [worker_peldr, '--hold', *taken, 'open', image['pe']], env)
        run.ask(f'{PROCESSES} processes, 16 MB, {text}: memory of each, of size/{PROCESSES}', ratio, BOUND)
        hold(run, f'dlopen, {text}', [worker, '--hold', 'dlopen', image['elf']], env)
        if image['relr']:
            hold(run, f'dlopen, RELR, {text}', [worker, '--hold', 'dlopen', image['relr']], env)
        copy = [worker, '--hold', *(['--fixups'] if moved else []), 'copy', image['pe']]
        hold(run, f'anonymous copy, {text}', copy, env)
        wine = run.places.wine(run.word)
        if wine:
            taken = ['--take', hex(base), hex(size)] if moved else []
            hold(run, f'Wine, {text}', [*wine[0], '--hold', *taken, bench.windows_path(image['pe'])], wine[1])
