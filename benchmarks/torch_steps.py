"""Training steps on a processor against PyTorch, in one interleaved run.

    python benchmarks/torch_steps.py [--cases=camvid:supervised,shapes_start:fixmatch] [--rounds=5] [--threads=1]
        [--seconds=S] [--output=FILE.json]

Processes hold one compiled step each and take turns, so a busy machine slows them alike: `ours` as the command lines
start, PyTorch eager and PyTorch in channels-last memory. PyTorch's networks are our own (tests/torch_reference_*.py); a
step does the same with the same numbers of images: passes, losses, gradients, update. Photometric views are part of our
step and not of PyTorch's, whose users leave them to the loader. With --all there are two more: our step without them,
`ours, views as they come`, which does what PyTorch's does, and ours with the flag of `config/xla_flags.py`. The
figure is the ratio to the faster PyTorch of each round, the median over rounds; of the processor's time, which other
work on the machine changes least. The seconds beside it are of this machine at that hour; `peak_mib` is the highest
memory of the process, compiling included. Cases that FILE.json holds already are not measured again, so that a run that
was cut off, or stopped by --seconds, goes on.

Needs PyTorch (the `torch` extra). Cases: camvid (MobileNetV2, 128x160, 8 + 8), shapes (narrow ResNet-18, 96x96, 8 + 8),
shapes_start (the quickstart's U-Net, 64x64, 8 + 8), resnet50 and resnet50_321 (the VOC recipe at crops 161 and 321,
2 + 2); methods: supervised, fixmatch, unimatch. Without --cases all of them.
"""

import argparse
import functools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CASES = {  # name: (config file, overrides)
    'camvid': ('configs/camvid.py', {}),
    'shapes': ('configs/shapes.py', {}),
    'shapes_start': ('configs/shapes_start.py', {'model.pretrained': 'None'}),
    'resnet50': ('configs/voc.py', {'data.crop': '(161, 161)', 'batch.labeled': '2', 'batch.unlabeled': '2'}),
    'resnet50_321': ('configs/voc.py', {'data.crop': '(321, 321)', 'batch.labeled': '2', 'batch.unlabeled': '2'}),
}
METHODS = ('supervised', 'fixmatch', 'unimatch')
OURS, BARE, FLAG, EAGER, LAST = ('ours', 'ours, views as they come', 'ours, with the flag', 'PyTorch eager',
                                 'PyTorch channels-last')
NO_VIEWS = {f'views.{name}_probability': '0.0' for name in ('jitter', 'grayscale', 'blur')}


def read(case: str, method: str, more: dict | None = None):
    from s4mim_jax.config.command_line import load_config
    file, overrides = CASES[case]
    return load_config(f'{ROOT / file}:{method}', list((overrides | (more or {})).items()))


def jax_step(case: str, method: str, threads: int, way: str):
    """A function that runs one step and waits for it, and what compiling took."""
    from s4mim_jax.config import allocator, xla_flags
    allocator.keep_memory()
    os.environ[xla_flags.SWITCH] = 'on' if way == FLAG else 'off'
    flag = xla_flags.for_cpu()
    from step import one_step, prepare
    run = prepare(read(case, method, NO_VIEWS if way == BARE else None), 11)
    return lambda: one_step(run), {'xla_flag': flag} | (
        {} if os.environ.get('JAX_COMPILATION_CACHE_DIR') else {'compile_s': run['compile_s']})


def torch_step(case: str, method: str, threads: int, way: str):
    """The same step in PyTorch."""
    import torch
    from torch.nn import functional as F
    sys.path.insert(0, str(ROOT / 'tests'))
    import torch_reference_mobilenet
    import torch_reference_resnet as nets
    from torch_reference_unet import ResNetUNet
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = read(case, method)
    model, classes, (height, width) = config.model, 11, config.data.crop
    if model.encoder == 'mobilenet_v2':
        backbone = torch_reference_mobilenet.Torchvision(model.output_stride)
        backbone.channels = 24, 320
    else:
        backbone = nets.ResNet(model.encoder, model.width, model.stem == 'deep', model.output_stride)
    if model.decoder == 'unet':
        network = ResNetUNet(backbone, classes, model.unet_widths)
    else:
        network = nets.DeepLabV3Plus(backbone, classes, model.decoder_width, model.low_level_width, model.aspp_rates)
    form = torch.channels_last if way == LAST else torch.contiguous_format
    network = network.to(memory_format=form).train()
    rule = torch.optim.AdamW if config.optimizer.name == 'adamw' else functools.partial(torch.optim.SGD, momentum=0.9)
    optimizer = rule(network.parameters(), 1e-4, weight_decay=1e-4)
    images = lambda count: torch.randn(count, 3, height, width).contiguous(memory_format=form)
    labeled, unlabeled = config.batch.labeled, config.batch.unlabeled
    x, w, s1, s2, partner = images(labeled), *(images(unlabeled) for _ in range(4))
    label = torch.randint(0, classes, (labeled, height, width))
    box = torch.zeros(unlabeled, 1, height, width, dtype=torch.bool)
    box[..., height // 4:height // 2, width // 4:width // 2] = True

    def pseudo(logits):
        top = logits.detach().softmax(1).max(1)
        return top.indices, (top.values > 0.95).float()

    def consistency(logits, target, weight):
        return (F.cross_entropy(logits, target, reduction='none') * weight).mean()

    def mixed(a, b):
        return torch.where(box, b, a)

    def step():
        if method == 'supervised':
            loss = F.cross_entropy(network(x), label, ignore_index=255)
        else:
            network.eval()
            with torch.no_grad():  # the CutMix partner's pseudo-label
                other, sure = pseudo(network(partner))
            network.train()
            maps = network.encode(torch.cat([x, w]))
            if method == 'unimatch':  # the decoder sees the features of w once more, with channels dropped
                maps = [torch.cat([m, F.dropout2d(m[labeled:], 0.5)]) for m in maps]
            logits = network.decode(maps, (height, width))
            target, weight = pseudo(logits[labeled:labeled + unlabeled])
            loss = F.cross_entropy(logits[:labeled], label, ignore_index=255)
            seen = torch.cat([mixed(s, partner) for s in ((s1, s2) if method == 'unimatch' else (s1,))])
            for part in network(seen).split(unlabeled):
                loss = loss + consistency(part, mixed(target[:, None], other[:, None])[:, 0],
                                          mixed(weight[:, None], sure[:, None])[:, 0])
            if method == 'unimatch':
                loss = loss + consistency(logits[labeled + unlabeled:], target, weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step, {'torch': torch.__version__}


WAYS = {OURS: jax_step, BARE: jax_step, FLAG: jax_step, EAGER: torch_step, LAST: torch_step}


def worker(way: str, case: str, method: str, threads: int) -> None:
    """Answers each line of stdin with the clock's and the processor's seconds of one step, and the peak MiB."""
    step, told = WAYS[way](case, method, threads, way)
    step()  # the first one allocates
    print(json.dumps(told), flush=True)
    for _ in sys.stdin:
        clock, processor = time.perf_counter(), time.process_time()
        step()
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        print(json.dumps([clock, processor, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** 10]), flush=True)


def start(way: str, case: str, method: str, threads: int):
    environment = os.environ | {'JAX_PLATFORMS': 'cpu', 'OMP_NUM_THREADS': str(threads),
                                'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])}
    return subprocess.Popen([sys.executable, __file__, '--worker', way, case, method, str(threads)], cwd=ROOT,
                            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def measure(case: str, method: str, threads: int, rounds: int, ways: list[str]) -> dict:
    """Figures of a case: way -> clock and processor seconds (medians) and the ratio to the faster PyTorch."""
    processes, told, seen = {}, {}, {way: [] for way in ways}
    try:
        for way in ways:  # one after the other: they would compile at each other's cost
            processes[way] = start(way, case, method, threads)
            told[way] = json.loads(processes[way].stdout.readline() or '{}')
        for _ in range(rounds):
            for way, process in processes.items():
                process.stdin.write('step\n')
                process.stdin.flush()
                seen[way].append(json.loads(process.stdout.readline()))
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    best = [min(e[1], l[1]) for e, l in zip(seen[EAGER], seen[LAST])]
    return {'case': case, 'method': method, 'ways': {way: {
        'ratio': statistics.median(s[1] / b for s, b in zip(seen[way], best)),
        'processor_s': statistics.median(s[1] for s in seen[way]),
        'clock_s': statistics.median(s[0] for s in seen[way]), 'peak_mib': round(seen[way][-1][2]),
        **told[way]} for way in ways}}


def main() -> None:
    if sys.argv[1:2] == ['--worker']:
        return worker(*sys.argv[2:5], int(sys.argv[5]))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--cases', default=','.join(f'{case}:{method}' for case in CASES for method in METHODS))
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=1, help='of PyTorch; pin the command to as many cores')
    parser.add_argument('--all', action='store_true', help='our step without views and with the flag as well')
    parser.add_argument('--seconds', type=float, default=float('inf'), help='begin no other case after so long')
    parser.add_argument('--output', type=Path)
    arguments = parser.parse_args()
    wanted = [tuple(text.split(':')) for text in arguments.cases.split(',')]
    if not all(len(pair) == 2 and pair[0] in CASES and pair[1] in METHODS for pair in wanted):
        parser.error(f'--cases={arguments.cases}: valid are CASE:METHOD,... with {", ".join(CASES)} and '
                     f'{", ".join(METHODS)}')
    rows, until = [], time.monotonic() + arguments.seconds
    if arguments.output and arguments.output.exists():
        rows = json.loads(arguments.output.read_text())['runs']
    done = {(row['case'], row['method']) for row in rows}
    for case, method in wanted:
        if (case, method) in done:
            continue
        if time.monotonic() > until:
            print(f'{case} {method}: left out, --seconds={arguments.seconds:g} are over', file=sys.stderr)
            continue
        rows.append(measure(case, method, arguments.threads, arguments.rounds, [
            way for way in WAYS if way not in (FLAG, BARE) or arguments.all]))
        print(f'{case} {method}: ' + ', '.join(f'{way} {row["ratio"]:.2f}' for way, row in rows[-1]['ways'].items()),
              flush=True)
        if arguments.output:
            from provenance import command, device  # imports JAX: not while a step is timed
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(json.dumps({
                'command': command(__file__, sys.argv[1:]), **device(1), 'machine': platform.machine(),
                'unit': 'of the faster PyTorch, processor time', 'rounds': arguments.rounds, 'runs': rows},
                indent=1) + '\n')
    return None


if __name__ == '__main__':
    main()
