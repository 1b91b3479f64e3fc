"""launch/tpu_pod.sh with a stand-in `gcloud` whose workers run the real launch/tpu_worker.sh."""

import shlex

import pytest
from launch_world import World

SLICE = ['--name=pod', '--project=mine', '--zone=us-west4-a']
NEW = [*SLICE, '--type=v5litepod-8', '--poll=0.1']
PROGRAM = ['--config=configs/voc.py:s4mim,split=92', '--workdir=gs://bucket/run', '--config.data.crop=(321, 321)',
           '--config.x=it\'s "quoted" $HOME `id` \\ *']


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / 'with a space')


def verbs(world):
    """Kind and verb of every call about slices, without looking and connecting."""
    pairs = [call['args'][2:4] for call in world.calls('gcloud') if call['args'][0] == 'compute']
    return [' '.join(pair) for pair in pairs if pair[1] in ('create', 'delete', 'start')]


def connections(world, word):
    """(worker, command) of every ssh that runs `tpu_worker.sh word`."""
    found = []
    for call in world.calls('gcloud'):
        flags = dict(a[2:].split('=', 1) for a in call['args'] if a.startswith('--') and '=' in a)
        if call['args'][3] == 'ssh' and f'tpu_worker.sh {word}' in flags['command']:
            found.append((flags['worker'], flags['command']))
    return found


def trained(world):
    return [(call['who'], call['args'][2:]) for call in world.calls('train')]


def exists(world, type_='v5litepod-8', state='READY'):
    world.write('slice', state)
    world.write('type', type_)
    for number in (0, 1):
        (world.folder / f'worker {number}').mkdir()


def test_a_preempted_run_is_made_again_and_continues(world):
    world.write('behave-0', 'preempt exit0')
    done = world.run('tpu_pod.sh', 'run', *NEW, '--spot', '--data=gs://bucket/voc', '--env=MINE=a b', '--', *PROGRAM)
    assert done.returncode == 0, done.stderr
    assert verbs(world) == ['tpu-vm create', 'tpu-vm delete', 'tpu-vm create']
    assert all('--spot' in call['args'] for call in world.calls('gcloud') if call['args'][3] == 'create')
    # The same words reach every worker, both times, whatever is in them.
    assert sorted(trained(world)) == [('0', PROGRAM)] * 2 + [('1', PROGRAM)] * 2
    for word in ('install', 'start', 'data'):
        assert [worker for worker, _ in connections(world, word)] == ['all', 'all'], word
    for call in world.calls('train'):
        home = world.folder / f'worker {call["who"]}' / 's4mim'
        assert call['env'] == {'MINE': 'a b', 'S4MIM_DATA': str(home / 'data')} and call['cwd'] == str(home / 'project')
    assert 'interrupted; restart 1 of 10' in done.stderr and 'costs money' in done.stderr
    logs, = (world.folder / 'kept' / 'pod' / 'logs').iterdir()
    for number in (0, 1):
        assert f'process {number} computes' in (logs / f'{number}.log').read_text()
    uploads = [call['args'][-1] for call in world.calls('gcloud') if call['args'][:2] == ['storage', 'cp']]
    assert uploads and all(target.startswith('gs://bucket/run/logs/') for target in uploads)
    # What was begun is kept: `resume` needs no arguments.
    shown = world.run('tpu_pod.sh', 'resume', '--name=pod', '--dry-run')
    started, = [line for line in shown.stdout.splitlines() if 'tpu_worker.sh start' in line]
    command, = [word for word in shlex.split(started) if word.startswith('--command=')]
    words = shlex.split(command.removeprefix('--command='))
    assert words[words.index('--') + 1:] == ['-m', 's4mim_jax.train', *PROGRAM]
    assert '--spot' in shown.stdout and '--env=MINE=a b' in words


def test_a_run_on_its_slice_goes_on_after_a_signal_and_ends_with_an_error(world):
    exists(world)
    world.write('behave-0', 'exit143 exit1')
    done = world.run('tpu_pod.sh', 'run', *NEW, '--restarts=5', '--logs=none', '--', *PROGRAM)
    assert done.returncode == 1 and verbs(world) == [], done.stderr
    assert sorted(trained(world)) == [('0', PROGRAM)] * 2 + [('1', PROGRAM)] * 2
    assert not [call for call in world.calls('gcloud') if call['args'][0] == 'storage']


def test_dry_run_prints_and_calls_nothing(world):
    done = world.run('tpu_pod.sh', 'run', *NEW, '--queued', '--spot', '--dry-run', '--', *PROGRAM)
    lines = [shlex.split(line) for line in done.stdout.splitlines() if line.startswith('gcloud')]
    assert done.returncode == 0 and not world.calls() and not (world.folder / 'kept').exists()
    create, = [line for line in lines if line[4] == 'create']
    assert create == ['gcloud', 'compute', 'tpus', 'queued-resources', 'create', 'pod', '--node-id=pod',
                      '--runtime-version=v2-alpha-tpuv5-lite', '--accelerator-type=v5litepod-8', '--spot',
                      '--zone=us-west4-a', '--project=mine']
    assert [line[4] for line in lines] == [
        'describe', 'describe', 'create', 'scp', 'ssh', 'ssh', 'ssh', 'ssh']
    for command in ('status', 'stop', 'logs', 'follow', 'delete', 'install', 'up'):
        done = world.run('tpu_pod.sh', command, *NEW, '--dry-run')
        assert done.returncode == 0 and 'gcloud compute tpus' in done.stdout and not world.calls(), command


def test_a_ready_slice_is_used_again(world):
    exists(world)
    done = world.run('tpu_pod.sh', 'up', *NEW)
    assert done.returncode == 0 and verbs(world) == []
    done = world.run('tpu_pod.sh', 'up', *SLICE, '--type=v6e-8')
    assert done.returncode == 2 and 'v5litepod-8' in done.stderr and verbs(world) == []


def test_a_queued_slice_is_waited_for_and_replaced_when_gone(world):
    assert world.run('tpu_pod.sh', 'up', *NEW, '--queued').returncode == 0
    assert verbs(world) == ['queued-resources create']
    world.write('slice', 'PREEMPTED')
    done = world.run('tpu_pod.sh', 'up', *NEW, '--queued')
    assert done.returncode == 0 and 'PREEMPTED' in done.stderr
    assert verbs(world) == ['queued-resources create', 'queued-resources delete', 'queued-resources create']


def test_an_error_of_describe_is_not_taken_for_no_slice(world):
    world.write('no rights', '')
    done = world.run('tpu_pod.sh', 'up', *NEW)
    assert done.returncode == 1 and 'PERMISSION_DENIED' in done.stderr and verbs(world) == []
    assert world.run('tpu_pod.sh', 'delete', *SLICE, '--yes').returncode == 1 and verbs(world) == []


def test_delete_asks(world):
    exists(world)
    done = world.run('tpu_pod.sh', 'delete', *SLICE, answer='n\n')
    assert done.returncode == 1 and 'nothing was deleted' in done.stderr and verbs(world) == []
    assert world.run('tpu_pod.sh', 'delete', *SLICE).returncode == 1 and verbs(world) == []  # nobody answers
    assert world.run('tpu_pod.sh', 'delete', *SLICE, '--yes').returncode == 0 and verbs(world) == ['tpu-vm delete']
    assert 'there is no slice' in world.run('tpu_pod.sh', 'delete', *SLICE, '--yes').stdout


@pytest.mark.parametrize('arguments, words', [
    ([], ['run', 'resume', 'delete']),
    (['begin', *SLICE], ['begin', 'run', 'resume']),
    (['run', '--name=pod', '--zone=us-west4-a'], ['--project']),
    (['run', *SLICE], ['--type', 'v5litepod-16']),
    (['run', *SLICE, '--type=v9-8'], ['v9-8', '--version']),
    (['status', '--name=Pod', '--project=mine', '--zone=us-west4-a'], ['--name=Pod']),
    (['status', '--name=pod', '--project=mine', '--zone=us-west4'], ['--zone=us-west4', 'us-west4-a']),
    (['run', *NEW, '--restarts=many', '--', *PROGRAM], ['--restarts=many']),
    (['run', *NEW, '--spott', '--', *PROGRAM], ['--spott']),
    (['run', *NEW, '--env=X', '--', *PROGRAM], ['--env=X']),
    (['run', *NEW], ['--workdir=gs://']),
    (['run', *NEW, '--', '--config=x', '--workdir=runs/x'], ['--workdir=runs/x', 'gs://BUCKET/RUN']),
    (['resume', '--name=other'], ['--name=other']),
])
def test_wrong_arguments(world, arguments, words):
    world.refused('tpu_pod.sh', *arguments, words=words)


def test_a_worker_starts_once_and_stops_saved(world):
    home = {'HOME': str(world.folder / 'worker 0'), 'PYTHON': world.python}
    (world.folder / 'worker 0').mkdir()
    program = ['--', '-m', 's4mim_jax.train', *PROGRAM]
    world.write('behave-0', 'wait exit3')
    run = lambda *arguments: world.run('tpu_worker.sh', *arguments, **home)
    assert run('status').stdout.endswith(': idle\n')
    assert run('start', *program).stdout.endswith(': started\n')
    world.await_calls('train', 1)
    assert run('status').stdout.endswith(': running\n')
    assert run('start', *program).stdout.endswith(': already running\n')
    other = run('start', *program, '--more')
    assert other.returncode == 2 and 'another run' in other.stderr
    assert run('stop').stdout.endswith(': stopped 143\n')
    assert trained(world) == [('0', PROGRAM)] and len(world.calls('term')) == 1
    run('start', *program)
    assert 'process 0 computes' in run('follow').stdout
    world.await_calls('train', 2)
    for _ in range(50):
        if not run('status').stdout.endswith(': running\n'):
            break
    assert run('status').stdout.endswith(': exited 3\n')
    assert run('log').stdout.count('process 0 computes') == 2
    assert run('begin').returncode == 2 and run('start', '--what').returncode == 2
