#!/usr/bin/env python3
"""How long the verdict on a folder of images takes, against objdump -p over the same files.

    bench_verify.py PELDR [FOLDER]

Both read every file's headers and directories; the contenders take turns in random order, and minima,
medians and their ratio are told. FOLDER: the DLLs of Debian's libwine, when it is installed.
"""
import pathlib
import random
import subprocess
import sys
import time

ROUNDS = 15
LIBWINE = '/usr/lib/x86_64-linux-gnu/wine/x86_64-windows'


def main():
    peldr, folder = sys.argv[1], pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else LIBWINE)
    files = sorted(str(f) for f in folder.glob('*') if f.is_file())
    if not files:
        print(f'{folder} holds no files: install libwine, or name a folder')
        return 77
    contenders = {
        'peldr verify -r': [peldr, 'verify', '-r', str(folder)],
        'objdump -p': ['objdump', '-p', *files],
    }
    times = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name in random.sample(list(contenders), len(contenders)):
            begin = time.perf_counter()
            done = subprocess.run(contenders[name], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, check=False)
            times[name].append(time.perf_counter() - begin)
            if name.startswith('peldr') and done.returncode != 0:
                print(f'{name}: exit status {done.returncode}')
                return 1
    print(f'{len(files)} files, {ROUNDS} rounds       minimum     median')
    for name, values in times.items():
        print(f'{name:20} {min(values) * 1000:12.1f} ms {sorted(values)[ROUNDS // 2] * 1000:7.1f} ms')
    verify, objdump = (min(values) for values in times.values())
    print(f'ratio of the minima  {verify / objdump:.3f}')
    return 0


sys.exit(main())
