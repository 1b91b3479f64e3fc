"""`python -m s4mim_jax` lists the commands; `python -m s4mim_jax COMMAND ...` runs one."""

import importlib.util
import runpy
import sys

COMMANDS = {
    'fit': 'own images in one call: proposes a config, trains, evaluates, predicts, writes one page',
    'quickstart': 'labelled-only against semi-supervised on the embedded dataset',
    'train': 'trains a config, and goes on where it stopped',
    'evaluate': 'scores a run on a split of its dataset',
    'predict': 'segments images with a run or an exported model; writes pseudo-labels',
    'report': 'compares runs on one page',
    'convert_labels': 'the export of an annotation tool -> a folder of images and masks',
    'data.check': 'walks a dataset and tells what is in it and what is wrong with it',
    'import_weights': 'describes, checks and converts pretrained weights',
    'export': 'a run -> a model that needs neither the run nor its config',
    'plan': 'memory, time and collectives of a config on an accelerator that is not there',
    'catalog': 'lists encoders and decoders with their sizes',
}


def main(arguments: list[str]) -> int:
    """Lists the commands, or runs one as `python -m s4mim_jax.COMMAND` does."""
    name = arguments[0] if arguments else ''
    if name in COMMANDS:
        sys.argv = [f's4mim_jax.{name}', *arguments[1:]]
        runpy.run_module(f's4mim_jax.{name}', run_name='__main__', alter_sys=True)
        return 0
    lines = [f'  {command:16}{text}' for command, text in COMMANDS.items()
             if importlib.util.find_spec(f's4mim_jax.{command}')]
    text = '\n'.join(['Semi-supervised semantic segmentation in JAX. Commands:', '', *lines, '',
                      'python -m s4mim_jax COMMAND --help tells more.'])
    if name in ('', '-h', '--help', 'help'):
        print(text)
        return 0
    print(f'error: there is no command {name!r}\nvalid: {", ".join(COMMANDS)}', file=sys.stderr)
    return 2


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
