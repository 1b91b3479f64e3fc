"""RUN/weights.json: which of the two networks of a run scored higher when it ended."""

from pathlib import Path

from s4mim_jax.runs import run_folder

FILE = 'weights.json'


def preferred(workdir, checkpoint: str = 'best') -> str:
    """The weights that `better` stands for: those of RUN/weights.json for the best checkpoint, else the teacher."""
    path = Path(str(workdir)) / FILE
    if str(checkpoint) != 'best' or '://' in str(workdir) or not path.exists():
        return 'teacher'
    return run_folder.read_json(path).get('better', 'teacher')
