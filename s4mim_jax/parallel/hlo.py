"""Which collectives a compiled program holds, read from the text that XLA gives of it.

    %psum.22 = f32[8,32]{1,0} all-reduce(%x), channel_id=1, replica_groups={{0,1},{2,3}}, ...

Nothing here depends on a device: the text is the same whether the program can run here or was
compiled for a slice that is elsewhere.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ('all-reduce', 'all-gather', 'reduce-scatter', 'collective-permute', 'all-to-all', 'ragged-all-to-all',
         'collective-broadcast')
_BITS = {'pred': 8, 'bf16': 16, 'token': 0}  # of the types whose name does not end in their bits
_NAMED = re.compile(r'^\s*(?:ROOT )?%?([\w.-]+) = ')
_ARRAY = re.compile(r'([a-z]\w*)\[([\d,<=]*)\]')
_OPCODE = re.compile(r'\s*([a-z][\w-]*)\(')
_COMPUTATION = re.compile(r'^(?:ENTRY )?%?([\w.-]+) \(.*\{$')
_CALLED = re.compile(r'\b(?:calls|body|condition|to_apply|branch_computations)=(?:\{([^}]*)\}|%?([\w.-]+))')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


class Collective(NamedTuple):
    """All collectives of one kind in a program. `bytes`: of their results on one device."""

    kind: str
    count: int
    bytes: int


class Instruction(NamedTuple):
    """One collective of a program.

    kind: as HLO names it. bytes: of its results on one device. group: how many devices take part in
    each exchange. times: how often it runs in one call of the program, the product of the trip counts
    of the loops around it where the compiler states them (1 for a loop of unknown length). operation:
    name and line of the code that it was made for, '' where the program does not say.
    """

    kind: str
    bytes: int
    group: int
    times: int
    operation: str


def collectives(program) -> list[Collective]:
    """The collectives of a compiled program, summed by kind.

    An asynchronous pair (`all-gather-start`, `all-gather-done`) is one collective; the arrays of a
    tuple-shaped result are summed; what stands in the body of a loop counts once, however often the
    loop runs (`instructions` says how often).

    Args:
      program: the result of `jax.jit(f).lower(...).compile()`, or its `as_text()`.

    Returns:
      one entry a kind that occurs, in the order of KINDS.
    """
    found = instructions(program)
    return [Collective(kind, len(these), sum(i.bytes for i in these)) for kind in KINDS
            if (these := [i for i in found if i.kind == kind])]


def instructions(program) -> list[Instruction]:
    """Every collective of a compiled program (see `collectives`), in the order of the text."""
    text = program if isinstance(program, str) else program.as_text()
    times, frames, found = _runs(text), _source_lines(text), []
    everyone = math.prod(int(n) for n in re.findall(r'(?:num_partitions|replica_count)=(\d+)', text.partition('\n')[0]))
    for computation, shape, opcode, line in _operations(text):
        kind = opcode.removesuffix('-start')
        # With `calls=` the operation itself stands in the computation that is called, and is counted there.
        if kind not in KINDS or (kind != opcode and 'calls=' in line):
            continue
        if kind != opcode and kind != 'all-reduce':
            shape = _parts(shape)[1]  # a start gives (operands, results, ...)
        found.append(Instruction(kind, shape_bytes(shape), _group(line, everyone), times.get(computation, 1),
                                 _operation(line, frames)))
    return found


def shape_bytes(shape: str) -> int:
    """Bytes of a shape or tuple of shapes in HLO's notation, e.g. `(f32[8,32]{1,0}, s32[])`."""
    total = 0
    for kind, sizes in _ARRAY.findall(re.sub(r'\{[^}]*\}', '', shape)):
        bits = _BITS[kind] if kind in _BITS else int(re.match(r'[a-z]+(\d+)', kind).group(1))
        entries = math.prod(int(n.removeprefix('<=')) for n in sizes.split(',') if n)
        total += -(-entries * bits // 8)
    return total


def _operations(text: str) -> Iterator[tuple[str, str, str, str]]:
    """(computation, result shape, opcode, line) of every instruction."""
    computation = ''
    for line in text.splitlines():
        header = _COMPUTATION.match(line)
        if header:
            computation = header.group(1)
            continue
        named = _NAMED.match(line)
        if not named:
            continue
        end = _end_of_shape(line, named.end())
        opcode = _OPCODE.match(line, end)
        if opcode:
            yield computation, line[named.end():end], opcode.group(1), line


def _end_of_shape(line: str, start: int) -> int:
    """Where the result's shape ends: a tuple at its closing bracket, an array at the space behind it."""
    if line[start] != '(':
        return line.find(' ', start)
    depth = 0
    for position in range(start, len(line)):
        depth += (line[position] == '(') - (line[position] == ')')
        if not depth:
            return position + 1
    return len(line)


def _parts(shape: str) -> list[str]:
    """The members of a tuple's shape; a shape that is no tuple serves for each of them."""
    if not shape.startswith('('):
        return [shape, shape]
    parts, depth = [''], 0
    for character in shape[1:-1]:
        depth += (character in '([{') - (character in ')]}')
        if character == ',' and not depth:
            parts.append('')
        else:
            parts[-1] += character
    return parts


def _group(line: str, everyone: int) -> int:
    """Devices of one exchange. A permutation is between two; no list of groups means all devices."""
    if 'source_target_pairs=' in line:
        return 2
    listed = re.search(r'replica_groups=\{\{([\d,]+)\}', line)
    if listed:
        return listed.group(1).count(',') + 1
    generated = re.search(r'replica_groups=\[([\d,]+)\]<=', line)  # [groups, devices of each]
    if generated:
        return int(generated.group(1).split(',')[-1])
    axes = re.search(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}", line)  # mesh['a'=4,'b'=2] {'b'}
    if axes:
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", axes.group(1)))
        named = re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", axes.group(2))  # 'a':(2)2 is a part of an axis
        return math.prod(int(part or sizes[name]) for name, part in named)
    return everyone


def _runs(text: str) -> dict[str, int]:
    """Computation -> how often one call of the program runs it, as far as trip counts are stated."""
    callers = {}
    for computation, _, opcode, line in _operations(text):
        trips = _TRIPS.search(line) if opcode == 'while' else None
        for several, one in _CALLED.findall(line):
            for name in (several or one).split(','):
                callers.setdefault(name.strip().lstrip('%'), (computation, int(trips.group(1)) if trips else 1))
    runs = {}

    def count(name):
        if name not in runs:
            runs[name] = 1  # a computation never calls itself; this only guards against odd text
            if name in callers:
                caller, trips = callers[name]
                runs[name] = trips * count(caller)
        return runs[name]

    return {name: count(name) for name in list(callers)}


def _source_lines(text: str) -> dict[str, str]:
    """Stack frame id -> `file:line` of its innermost frame, from the tables at the head of the text."""
    files = dict(re.findall(r'^(\d+) "(.*)"$', _section(text, 'FileNames'), re.M))
    places = {number: f'{files.get(file, "?")}:{line}' for number, file, line in
              re.findall(r'^(\d+) \{file_name_id=(\d+) .*?\bline=(\d+)', _section(text, 'FileLocations'), re.M)}
    return {number: places.get(place, '') for number, place in
            re.findall(r'^(\d+) \{file_location_id=(\d+)', _section(text, 'StackFrames'), re.M)}


def _section(text: str, title: str) -> str:
    start = text.find(f'\n{title}\n')
    return '' if start < 0 else text[start + len(title) + 2:].partition('\n\n')[0]


def _operation(line: str, frames: dict[str, str]) -> str:
    """`op_name (file:line)` from an instruction's metadata."""
    name = re.search(r'op_name="([^"]*)"', line)
    frame = re.search(r'stack_frame_id=(\d+)', line)
    direct = re.search(r'source_file="([^"]*)" source_line=(\d+)', line)
    place = f'{direct.group(1)}:{direct.group(2)}' if direct else frames.get(frame.group(1), '') if frame else ''
    return (name.group(1) if name else '') + (f' ({place})' if place else '')
