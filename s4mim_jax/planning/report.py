"""A plan as text. Everything printed here is in the plan's JSON too."""

from s4mim_jax.planning.topologies import GIB

SHOWN = 8  # collectives other than all-reduces; under fsdp there are many


def before(plan: dict, passes: str) -> str:
    """What is known before compiling. passes: `training.passes.describe`."""
    model, parameters, batch, devices = plan['model'], plan['parameters'], plan['batch'], plan['devices']
    rate, given, state = plan['learning_rate'], plan['input'], plan['state_bytes']
    slice_ = ''
    if devices['topology']:
        slice_ = f', {devices["topology"]} ({devices["cloud_name"]}), {devices["hosts"]} hosts'
    rows = [
        ('run', f'{plan["method"]}, {model["encoder"]} + {model["decoder"]}, {model["num_classes"]} classes, crop '
                f'{model["crop"][0]} x {model["crop"][1]}, {plan["precision"]}'),
        ('', plan['schedule']['dataset']),
        ('devices', f'{devices["count"]} x {devices["kind"]}{slice_}'),
        ('', f'mesh {plan["mesh"]}, partition {plan["partition"]}'),
        ('parameters', f'{parameters["total"]:,}: encoder {parameters["encoder"]:,}, decoder '
                       f'{parameters["decoder"]:,}, extra (training only) {parameters["extra"]:,}'),
        ('global batch', f'{batch["labeled"]} labelled + {batch["unlabeled"]} unlabelled in '
                         f'{batch["accumulate"]} micro-batch(es); a device {batch["labeled_per_device"]:g} + '
                         f'{batch["unlabeled_per_device"]:g}'),
        ('learning rate', f'{rate["recipe"]:g} at the recipe\'s batch of {batch["reference"]}, times '
                          f'{rate["factor"]:g}: {rate["encoder"]:g} (encoder), {rate["rest"]:g} (rest)'),
        *_steps(plan),
        ('to devices', f'{_size(given["bytes_a_step"])} a step (uint8 crops, labels, validity); a device '
                       f'{_size(given["bytes_a_step_per_device"])}, a host {_size(given["bytes_a_step_per_host"])}'),
        ('state', f'{_size(state["total"])} a device: ' + ', '.join(
            f'{name.replace("_", " ")} {_size(size)}' for name, size in state.items() if name != 'total')),
    ]
    return f'{_table(rows)}\nnetwork passes of a step:\n{passes}'


def _steps(plan: dict) -> list[tuple[str, str]]:
    schedule, factor = plan['schedule'], plan['learning_rate']['factor']
    epochs = 'epochs unknown: give --images=N'
    if schedule['epochs'] is not None:
        epochs = f'{schedule["epochs"]:,.1f} epochs of {schedule["images"]:,} images'
    rows = [('steps', f'{schedule["total_steps"]:,}, {epochs}')]
    if factor > 1:
        rows.append(('', f'--config.total_steps={schedule["steps_for_the_same_images"]} sees as many images as '
                         f'{schedule["total_steps"]:,} steps at the recipe\'s batch'))
    if factor > 8:
        rows.append(('', 'a linear rule over such a factor is untried: consider --config.optimizer.warmup_steps'))
    return rows


def after(plan: dict) -> str:
    """What the compiler said, and what follows from it."""
    memory = plan['memory']
    if 'temporaries' not in memory:
        rows = [('memory', 'DOES NOT FIT')]
        if memory['total'] and memory['limit']:
            rows = [('memory', f'DOES NOT FIT: needs {_size(memory["total"])} or more a device, there are '
                               f'{_size(memory["limit"])}')]
        return _table([*rows, ('', f'the compiler: {memory["message"]}'), ('', _advice(plan))])
    rows = [('memory', f'{_size(memory["total"])} a device' + (
        f' of {_size(memory["limit"])} ({memory["total"] / memory["limit"]:.1%}): '
        f'{"fits" if memory["fits"] else "DOES NOT FIT"}' if memory['limit'] else ''))]
    rows.append(('', ', '.join(f'{name} {_size(memory[name])}' for name in
                               ('arguments', 'outputs', 'alias', 'temporaries', 'code'))))
    if memory['fits'] is False:
        rows.append(('', _advice(plan)))
    flops = plan['flops']
    if flops['per_device']:
        rows.append(('FLOPs a step', f'{flops["per_device"] / 1e9:,.2f} G a device, {flops["global"] / 1e9:,.2f} G '
                                     f'together ({flops["source"]})'))
    kinds = [f'{c["count"]} {c["kind"]} ({_size(c["bytes"])} a device'
             + (f'; {c["runs"]} runs, {_size(c["bytes_of_all_runs"])})' if c['runs'] > c['count'] else ')')
             for c in plan['collectives']]
    rows.append(('collectives', ', '.join(kinds) or 'none'))
    others = plan['besides_all_reduce']
    for row in others[:SHOWN]:
        rows.append(('', f'besides all-reduce: {row["kind"]}, {_size(row["bytes"])} x {row["runs"]}: '
                         f'{row["operation"]}'))
    if len(others) > SHOWN:
        rows.append(('', f'and {len(others) - SHOWN} smaller ones, see the JSON'))
    return _table(rows) + (_time(plan) if plan['time'] else '')


def _time(plan: dict) -> str:
    time, assumed, schedule = plan['time'], plan['time']['assumptions'], plan['schedule']
    lines = ['', 'model of a step']
    if 'peak_flops' in assumed:
        lines += [
            f'  assumed: {assumed["peak_flops"] / 1e12:g} TFLOP/s bf16 at utilisation {assumed["utilization"]:g}; HBM '
            f'{_size(assumed["hbm_bytes"])}, {assumed["hbm_bandwidth"] / 1e9:g} GB/s; {assumed["links"]} links of '
            f'{assumed["link_bandwidth"] / 1e9:g} GB/s each way,',
            f'  {assumed["hop_seconds"] * 1e6:g} us a hop, axes {assumed["axes"]}, closed to rings: '
            f'{assumed["rings"]}. All but utilisation and hops: the vendor\'s published figures.',
            *(f'  {part}' for part in assumed['formula'].split('; ')),
            f'  compute {_milliseconds(time["compute_seconds"])}, HBM traffic {_milliseconds(time["hbm_seconds"])}, '
            f'communication {_milliseconds(time["communication_seconds"])}']
    if assumed['measured_seconds']:
        lines.append(f'  work of a device: {_milliseconds(assumed["measured_seconds"])}, measured')
    for name, words in (('overlapped', 'all communication hidden'), ('exposed', 'none hidden')):
        bound = time[name]
        lines += [f'  {words}: {_milliseconds(bound["step_seconds"])} a step, {bound["images_per_second"]:,.0f} '
                  f'images/s ({bound["images_per_second_per_host"]:,.0f} a host), efficiency against one device '
                  f'{bound["efficiency"]:.1%}',
                  f'    {schedule["total_steps"]:,} steps: {bound["hours"]:,.2f} h, {bound["device_hours"]:,.1f} '
                  f'device hours; {schedule["steps_for_the_same_images"]:,} steps: '
                  f'{bound["hours_for_the_same_images"]:,.2f} h']
    if 'peak_flops' in assumed and not assumed['measured_seconds']:
        lines.append(f'  none hidden, and memory never waited for: efficiency {time["least_efficiency"]:.1%}')
    return '\n'.join([*lines, '  not in it: reading images, evaluation, saving, compiling'])


def _advice(plan: dict) -> str:
    tips = ['--config.precision=bfloat16'] if plan['precision'] == 'float32' else []
    tips += [] if plan['model']['remat'] else ['--config.model.remat=true']
    smallest = min(n for n in (plan['batch']['labeled_per_device'], plan['batch']['unlabeled_per_device']) if n)
    if smallest / plan['batch']['accumulate'] > 1:
        tips += [f'--config.batch.accumulate={2 * plan["batch"]["accumulate"]} (BatchNorm sees smaller batches)',
                 'a smaller batch']
    return 'try ' + ', '.join([*tips, 'a smaller --config.data.crop'])


def _table(rows: list[tuple[str, str]]) -> str:
    return '\n'.join(f'{name:<14}{text}' for name, text in rows)


def _milliseconds(seconds: float | None) -> str:
    return 'unknown' if seconds is None else f'{seconds * 1e3:.2f} ms'


def _size(size: float) -> str:
    for unit, value in (('GiB', GIB), ('MiB', 2**20), ('KiB', 2**10)):
        if size >= value:
            return f'{size / value:.2f} {unit}'
    return f'{size:.0f} B'
