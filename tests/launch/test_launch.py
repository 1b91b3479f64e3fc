"""The launch scripts for GPUs, SLURM and Kubernetes with stand-ins for what they call; setup.sh and test.sh."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from launch_world import LAUNCH, ROOT, World

PROGRAM = ['--config=configs/voc.py:s4mim', '--workdir=runs/a b', '--config.x=it\'s "quoted" $HOME $(id) \\ *']
SCRIPTS = sorted(LAUNCH.glob('*.sh')) + [LAUNCH / 'slurm.sbatch']


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / 'with a space')


# requirements-dev brings one beside Python, which need not be on PATH.
SHELLCHECK = shutil.which('shellcheck', path=f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}')


@pytest.mark.skipif(not SHELLCHECK, reason='no shellcheck')
def test_shellcheck():
    done = subprocess.run([SHELLCHECK, '-x', *SCRIPTS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_strict(script):
    text = script.read_text()
    sourced = text.startswith('# shellcheck shell=bash')
    assert sourced or 'set -euo pipefail' in text
    assert subprocess.run(['bash', '-n', script], check=False).returncode == 0


# --- one machine ---

def multi_gpu(world, *options, program=PROGRAM, **environment):
    return world.run('multi_gpu.sh', *options, '--', *program, PYTHON=world.python, **environment)


def ended(world, process):
    """Words of a process after the stand-in's `-m s4mim_jax.train`, and its environment, for each start."""
    return [(call['args'][2:], call['env']) for call in world.calls('train') if call['who'] == str(process)]


def test_one_process_drives_the_gpus(world):
    world.environment['HOME'] = str(world.folder / '0')
    done = multi_gpu(world, '--gpus=2', '--logs=my logs')
    assert done.returncode == 0 and 'process 0 computes' in done.stdout, done.stderr
    assert ended(world, 0) == [(PROGRAM, {'CUDA_VISIBLE_DEVICES': '0,1', 'JAX_LOCAL_DEVICE_IDS': '0,1'})]
    assert 'process 0 computes' in (world.folder / 'my logs' / 'process-0.log').read_text()
    assert multi_gpu(world, CUDA_VISIBLE_DEVICES='5,7').returncode == 0
    assert ended(world, 0)[1][1] == {'CUDA_VISIBLE_DEVICES': '5,7', 'JAX_LOCAL_DEVICE_IDS': '0,1'}


def test_dry_run_of_processes_per_gpu(world):
    done = multi_gpu(world, '--gpus=4', '--process-per-gpu', '--port=4321', '--logs=l', '--dry-run',
                     CUDA_VISIBLE_DEVICES='2,3,6,7,8')
    first, *lines = [shlex.split(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and first == ['mkdir', '-p', 'l']
    assert not world.calls() and not (world.folder / 'l').exists()
    for number, (gpu, words) in enumerate(zip('2367', lines, strict=True)):
        assert words == ['env', 'PYTHONUNBUFFERED=1', f'CUDA_VISIBLE_DEVICES={gpu}', 'JAX_LOCAL_DEVICE_IDS=0',
                         world.python, '-m', 's4mim_jax.train', *PROGRAM, '--coordinator=localhost:4321',
                         '--num_processes=4', f'--process_id={number}', '>', f'l/process-{number}.log', '2>&1', '&']


def test_one_that_fails_ends_the_others(world):
    world.write('behave-0', 'wait')
    world.write('behave-1', 'fail')
    world.write('behave-2', 'deaf')
    done = multi_gpu(world, '--gpus=3', '--process-per-gpu', '--grace=1', '--logs=l', '--restarts=5')
    assert done.returncode == 7 and 'process 1 ended with status 7' in done.stderr, done.stderr
    assert 'process 2 ended with status 137' in done.stderr  # it would not listen
    assert [len(ended(world, number)) for number in range(3)] == [1, 1, 1]
    for number in range(3):
        assert (world.folder / 'l' / f'process-{number}.log').exists()


def test_a_stop_by_a_signal_is_begun_again(world):
    for number in (0, 1):
        world.write(f'behave-{number}', 'exit143 exit143 exit0')
    done = multi_gpu(world, '--gpus=2', '--process-per-gpu', '--restarts=1')
    assert done.returncode == 143 and [len(ended(world, number)) for number in (0, 1)] == [2, 2], done.stderr
    done = multi_gpu(world, '--gpus=2', '--process-per-gpu', '--restarts=1')
    assert done.returncode == 0 and [len(ended(world, number)) for number in (0, 1)] == [3, 3], done.stderr
    assert ended(world, 1)[0][0][:-3] == PROGRAM and ended(world, 1)[0][0] != ended(world, 0)[0][0]


def test_signals_are_handed_on_and_end_it(world):
    for number in (0, 1):
        world.write(f'behave-{number}', 'wait')
    process = world.start('multi_gpu.sh', '--gpus=2', '--process-per-gpu', '--restarts=5', '--', *PROGRAM,
                          PYTHON=world.python)
    world.await_calls('train', 2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143 and len(world.calls('train')) == 2
    assert sorted(call['who'] for call in world.calls('term')) == ['0', '1']


def test_a_busy_port_is_named(world):
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        server.listen()
        port = server.getsockname()[1]
        world.refused('multi_gpu.sh', '--gpus=2', '--process-per-gpu', f'--port={port}', '--', *PROGRAM,
                      PYTHON=world.python, words=[str(port), 'in use'])


@pytest.mark.parametrize('arguments, words', [
    (['--gpus=2'], ['--config']),
    (['--gpu=2', '--', *PROGRAM], ['--gpu=2']),
    (['--gpus=0,,1', '--', *PROGRAM], ['--gpus=0,,1', '0,1,3']),
    (['--restarts=x', '--', *PROGRAM], ['--restarts=x']),
    (['--port=80', '--', *PROGRAM], ['--port=80', '1024']),
    (['stray', '--', *PROGRAM], ['stray']),
])
def test_wrong_arguments_of_multi_gpu(world, arguments, words):
    world.refused('multi_gpu.sh', *arguments, PYTHON=world.python, words=words)
    if arguments[0] == 'stray':
        world.refused('multi_gpu.sh', '--', *PROGRAM, PYTHON='/no/python', words=['/no/python', 'setup.sh'])
        world.refused('multi_gpu.sh', '--gpus=2', '--', *PROGRAM, PYTHON=world.python, CUDA_VISIBLE_DEVICES='3',
                      words=['--gpus=2', 'CUDA_VISIBLE_DEVICES=3'])


# --- SLURM ---

def slurm(world, *options, **environment):
    """As SLURM runs it: a copy of the script elsewhere, in the folder of sbatch."""
    copy = world.folder / 'slurm_script'
    shutil.copy(LAUNCH / 'slurm.sbatch', copy)
    return world.run(copy, *options, '--', *PROGRAM, PYTHON=world.python, SLURM_JOB_ID='77',
                     SLURM_SUBMIT_DIR=str(ROOT), SLURM_NTASKS_PER_NODE='1', SLURM_GPUS_ON_NODE='4',
                     **environment)


@pytest.mark.parametrize('status, state, count, requeued', [
    (143, 'RUNNING', 0, True), (143, 'CANCELLED', 0, False), (143, 'RUNNING', 3, False), (0, 'RUNNING', 0, False),
    (2, 'RUNNING', 0, False)])
def test_slurm_queues_again_after_a_signal_alone(world, status, state, count, requeued):
    world.write('srun-status', str(status))
    world.write('job-state', state)
    done = slurm(world, '--restarts=3', SLURM_RESTART_COUNT=str(count))
    call, = world.calls('srun')
    assert done.returncode == status and call['args'][-len(PROGRAM):] == PROGRAM, done.stderr
    assert 'JAX_LOCAL_DEVICE_IDS=0,1,2,3' in call['args'] and '--kill-on-bad-exit=0' in call['args']
    assert (['requeue', '77'] in [call['args'] for call in world.calls('scontrol')]) == requeued


def test_slurm_dry_run_and_wrong_arguments(world):
    done = world.run('slurm.sbatch', '--dry-run', '--', *PROGRAM, PYTHON=world.python, SLURM_NTASKS_PER_NODE='8',
                     SLURM_GPUS_ON_NODE='8', SLURM_CPUS_PER_TASK='6')
    words = shlex.split(done.stdout.splitlines()[1])
    assert done.returncode == 0 and not world.calls() and words[0] == 'srun' and '--cpus-per-task=6' in words
    assert words[-len(PROGRAM) - 3:] == [world.python, '-m', 's4mim_jax.train', *PROGRAM]
    assert not any(word.startswith('JAX_LOCAL') for word in words)  # a task a GPU: JAX takes the one of its number
    world.refused('slurm.sbatch', '--', *PROGRAM, words=['sbatch', '--dry-run'])
    world.refused('slurm.sbatch', '--nodes=2', '--', *PROGRAM, words=['--nodes=2', '--restarts=N'])
    world.refused('slurm.sbatch', '--dry-run', words=['--config'])
    lines = (LAUNCH / 'slurm.sbatch').read_text().splitlines()
    options = [line.split()[1] for line in lines if line.startswith('#SBATCH')]
    assert '--signal=TERM@120' in options and '--requeue' in options  # the tasks get it, not the shell: no B:


# --- Kubernetes ---

def check_manifest(text, name, nodes, gpus, args):
    service, job = yaml.safe_load_all(text)
    assert (service['kind'], job['kind']) == ('Service', 'Job')
    assert service['metadata']['name'] == job['metadata']['name'] == name
    assert job['spec']['template']['spec']['subdomain'] == name
    assert service['spec']['selector'] == {'batch.kubernetes.io/job-name': name}
    assert service['spec']['clusterIP'] == 'None' and service['spec']['publishNotReadyAddresses'] is True
    spec, pod = job['spec'], job['spec']['template']['spec']
    assert spec['completionMode'] == 'Indexed' and spec['completions'] == spec['parallelism'] == nodes
    rules = [(rule['action'], rule.get('onExitCodes', {}).get('values')) for rule in spec['podFailurePolicy']['rules']]
    assert rules == [('FailJob', [2, 3]), ('Ignore', [143]), ('Ignore', None)] and pod['restartPolicy'] == 'Never'
    container, = pod['containers']
    environment = {entry['name']: entry.get('value', entry.get('valueFrom')) for entry in container['env']}
    assert environment['COORDINATOR'] == f'{name}-0.{name}:8476' and environment['NUM_PROCESSES'] == str(nodes)
    assert environment['PROCESS_ID'] == {'fieldRef': {
        'fieldPath': "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}
    assert container['command'][3:] == ['--coordinator=$(COORDINATOR)', '--num_processes=$(NUM_PROCESSES)',
                                        '--process_id=$(PROCESS_ID)']
    assert container['args'] == [word.replace('$', '$$') for word in args]
    assert container['resources'] == {'limits': {'nvidia.com/gpu': gpus}}
    assert {mount['name'] for mount in container['volumeMounts']} == {volume['name'] for volume in pod['volumes']}
    return container, pod


def test_the_manifest_as_it_is():
    text = (LAUNCH / 'kubernetes.yaml').read_text()
    check_manifest(text, 's4mim', 2, 8, ['--config=configs/voc.py:s4mim', '--workdir=/mnt/s4mim/runs/s4mim'])


def test_the_manifest_filled_in(world):
    options = ['--image=registry.example:5000/me/s4mim:1', '--name=second', '--nodes=12', '--gpus=4', '--claim=disk',
               '--restarts=3', '--', *PROGRAM]
    done = world.run('kubernetes.sh', *options)
    call, = world.calls('kubectl')
    assert done.returncode == 0 and call['args'] == ['apply', '-f', '-'], done.stderr
    container, pod = check_manifest(call['manifest'], 'second', 12, 4, PROGRAM)
    assert container['image'] == 'registry.example:5000/me/s4mim:1'
    assert pod['volumes'][0]['persistentVolumeClaim'] == {'claimName': 'disk'}
    shown = world.run('kubernetes.sh', '--dry-run', *options)
    assert shown.stdout.splitlines()[1:-1] == call['manifest'].splitlines() and len(world.calls()) == 1
    # What is printed can be pasted.
    subprocess.run(['bash', '-c', shown.stdout], env=world.environment, check=True)
    assert world.calls('kubectl')[1] == call


@pytest.mark.parametrize('arguments, words', [
    (['--', *PROGRAM], ['--image']),
    (['--image=x'], ['--config']),
    (['--image=x', '--nodes=0', '--', *PROGRAM], ['--nodes=0']),
    (['--image=x', '--name=A_b', '--', *PROGRAM], ['--name=A_b']),
    (['--image=x y', '--', *PROGRAM], ['x y']),
    (['--images=x', '--', *PROGRAM], ['--images=x']),
])
def test_wrong_arguments_of_kubernetes(world, arguments, words):
    world.refused('kubernetes.sh', *arguments, words=words)


# --- the pages ---

def commands_of(page):
    """Every launch command of a page's indented blocks, with its continuation lines."""
    text = (ROOT / 'docs' / page).read_text().replace('\\\n', ' ')
    lines = [line.strip().removeprefix('$ ') for line in text.splitlines() if line.startswith('    ')]
    starts = ('launch/tpu_', 'launch/multi', 'launch/kube', 'bash launch/slurm')
    return [line for line in lines if line.startswith(starts)]


@pytest.mark.parametrize('page, least', [('tpu_pod.md', 3), ('multi_gpu.md', 3), ('slurm_kubernetes.md', 2)])
def test_commands_of_the_pages_are_accepted(world, page, least):
    commands = [command for command in commands_of(page) if ' resume ' not in command]
    assert len(commands) >= least
    for command in commands:
        options, dashes, program = command.partition('  #')[0].partition(' -- ')
        script = f'POD=(--name=s4mim --project=my-project --zone=us-west4-a); {options} --dry-run {dashes}{program}'
        done = subprocess.run(['bash', '-c', script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
                              env=world.environment | {'PYTHON': world.python, 'CUDA_VISIBLE_DEVICES': '0,1'})
        assert done.returncode == 0 and done.stdout and not world.calls(), (command, done.stderr)


# --- setup.sh and test.sh ---

def test_setup_and_test_arguments(world):
    venv = world.folder / 'venv'
    world.refused('setup.sh', 'gpu', words=['gpu', 'cpu, tpu, cuda, plan'], S4MIM_VENV=str(venv))
    world.refused('setup.sh', 'cpu', words=['PYTHON'], S4MIM_VENV=str(venv), PYTHON='/no/python')
    assert not venv.exists()
    parallel = ['-n', 'auto', '--maxprocesses=4', '--dist=loadfile', '--no-loadscope-reorder']
    for arguments, marks in (['-k', 'cutmix'], ['-m', 'not slow']), (['--all', '-n', '0'], []):
        done = world.run('test.sh', *arguments, S4MIM_VENV=str(venv))
        wanted = ['-m', 'pytest', *parallel, *marks, *[word for word in arguments if word != '--all']]
        assert done.returncode == 0 and world.calls('pytest')[-1]['args'] == wanted, done.stderr
