#!/usr/bin/env python3
"""What the odd images cover: rules that an image alone refuses, behaviours that an image shows.

    tests/odd/report.py BUILD/tests/odd/test_odd_*

Joins the rows of all areas (`test_odd_AREA --list`), the rule table (`--rules`) and behaviours.tsv,
and prints a table. Exit status 1 when a rule has no image of its own in some version and format, a
behaviour has no image and no reason for that, or a row names a behaviour that is not listed.
"""
import argparse
import collections
import pathlib
import subprocess
import sys

VERSIONS = {1: 'XP', 2: '7', 4: '10'}
FORMATS = {1: 32, 2: 64}
# Rule and word size whose image cannot be, with the reason.
NO_IMAGE = {('file.size', 32): 'a 32-bit process has no room for a file of 4 GiB'}

Row = collections.namedtuple('Row', 'area name word kind refused alone run shows')
Rule = collections.namedtuple('Rule', 'id windows formats stage roles text')
Behaviour = collections.namedtuple('Behaviour', 'id recorded text excluded')


def lines_of(program, option):
    result = subprocess.run([program, option], stdout=subprocess.PIPE, check=True, text=True)
    return [line.split('\t') for line in result.stdout.splitlines()]


def read_rows(programs):
    for program in programs:
        for area, name, word, kind, refused, alone, run, shows in lines_of(program, '--list'):
            yield Row(area, name, int(word), kind, refused.split(','), alone.split(','),
                      run == 'run', shows.split())


def read_rules(program):
    for rule, windows, formats, stage, roles, text in lines_of(program, '--rules'):
        yield Rule(rule, [v for v in VERSIONS if int(windows) & v],
                   [FORMATS[f] for f in FORMATS if int(formats) & f], stage, roles, text)


def read_behaviours(path):
    for line in path.read_text().splitlines():
        if not line or line.startswith('#'):
            continue
        name, recorded, text = (line.split('\t') + ['', ''])[:3]
        yield Behaviour(name.lstrip('!').strip(), recorded, text.strip(), name.startswith('!'))


def judge_rules(rules, rows, words):
    """How many rules an image alone refuses, in each version and format, and what is missing."""
    alone_by = {(rule, version, row.word)
                for row in rows
                for version, rule, alone in zip(VERSIONS, row.refused, row.alone)
                if alone == 'alone'}
    missing = []
    complete = 0
    for rule in rules:
        needed = [(rule.id, version, word) for version in rule.windows for word in rule.formats
                  if word in words and (rule.id, word) not in NO_IMAGE]
        without = [key for key in needed if key not in alone_by]
        missing += [f'rule {rule.id} (Windows {VERSIONS[version]}, {word}-bit) has no image of '
                    'its own' for _, version, word in without]
        complete += not without
    return complete, missing


def judge_behaviours(behaviours, rows):
    shown, executed = set(), set()
    for row in rows:
        shown.update(row.shows)
        if row.run:
            executed.update(row.shows)
    missing = []
    for b in behaviours:
        if not b.text:
            missing.append(f'behaviour {b.id} has no text')
        if not b.excluded and b.id not in shown:
            missing.append(f'behaviour {b.id} has no image')
        if b.excluded and b.id in shown:
            missing.append(f'behaviour {b.id} has an image, and a reason to have none')
    listed = {b.id for b in behaviours}
    missing += [f'{row.area}, row {row.name}: {name} is not listed'
                for row in rows for name in row.shows if name not in listed]
    return shown & listed, executed & listed, missing


def area_of(behaviour):
    return behaviour.id.rpartition('-')[0]


def print_table(rules, rows, behaviours, complete, shown, executed):
    refused = [row for row in rows if any(r != '-' for r in row.refused)]
    wanted = [b for b in behaviours if not b.excluded]
    print(f'rules                                {len(rules):5}  '
          f'({len({r.id for r in rules})} ids; rows of the table by version)')
    print(f'  refused by an image alone          {complete:5}')
    print(f'images (rows x word sizes)           {len(rows):5}')
    print(f'  refused by some version            {len(refused):5}')
    print(f'  run                                {sum(row.run for row in rows):5}')
    print(f'behaviours listed                    {len(behaviours):5}')
    print(f'  that can be an image               {len(wanted):5}')
    print(f'  shown by an image                  {len(shown):5}')
    print(f'  executed                           {len(executed):5}')
    print()
    print(f'{"area":<14}{"images":>8}{"listed":>8}{"excluded":>10}{"shown":>8}{"executed":>10}')
    areas = list(dict.fromkeys([area_of(b) for b in behaviours] + [r.area for r in rows]))
    for area in areas:
        own = [b for b in behaviours if area_of(b) == area]
        print(f'{area:<14}{sum(r.area == area for r in rows):8}{len(own):8}'
              f'{sum(b.excluded for b in own):10}{sum(b.id in shown for b in own):8}'
              f'{sum(b.id in executed for b in own):10}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('programs', nargs='+', metavar='TEST_ODD_AREA')
    args = parser.parse_args()
    rows = list(read_rows(args.programs))
    rules = list(read_rules(args.programs[0]))
    behaviours = list(read_behaviours(pathlib.Path(__file__).with_name('behaviours.tsv')))
    complete, missing = judge_rules(rules, rows, {row.word for row in rows})
    shown, executed, more = judge_behaviours(behaviours, rows)
    print_table(rules, rows, behaviours, complete, shown, executed)
    not_executed = [b.id for b in behaviours if b.id in shown - executed]
    if not_executed:
        print('\nshown, but refused or not run:', ' '.join(not_executed))
    for (rule, word), reason in NO_IMAGE.items():
        print(f'no {word}-bit image for {rule}: {reason}')
    for text in missing + more:
        print('missing:', text)
    return 1 if missing or more else 0


if __name__ == '__main__':
    sys.exit(main())
