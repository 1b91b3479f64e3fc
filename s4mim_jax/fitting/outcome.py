"""After the trainings: scores, the network that predicts, and pseudo-labels."""

import json
from pathlib import Path

from s4mim_jax.fitting.confident import unlabelled
from s4mim_jax.fitting.lengths import DRAWN

LABELLED_ONLY, PREDICTIONS = 'labelled_only', 'predictions'


def score(output: Path, state: dict, say) -> None:
    """Scores both runs on val and, where there is one, on test; the better on val is the one that predicts.

    Sets `scores` and `best` of the state.
    """
    from s4mim_jax.evaluate import evaluate_run
    names = [LABELLED_ONLY] + ([state['method'].partition(',')[0]] if state['method'] != 'supervised' else [])
    state['scores'] = {}
    for name in names:
        config = json.loads((output / name / 'config.json').read_text())
        splits = [config['eval']['split']] + (['test'] if has_test(output / name) else [])
        state['scores'][name] = {split: evaluate_run(output / name, weights='better', split=split)['miou']
                                 for split in splits}
    state['best'] = max(names, key=lambda name: next(iter(state['scores'][name].values())))
    for name, scores in state['scores'].items():
        say(f'{name:16} ' + ', '.join(f'{split} mIoU {value:.4f}' for split, value in scores.items()))
    say(f'the better on val predicts: {state["best"]}' if len(names) > 1 else f'{state["best"]} predicts')


def has_test(workdir: Path) -> bool:
    """Whether the dataset of a run has a test split with a mask for every image."""
    from s4mim_jax import data
    from s4mim_jax.fitting.fingerprint import scored_test
    from s4mim_jax.runs.run_folder import read_config
    source = data.open_source(read_config(workdir).data)
    return bool(scored_test(source))


def predict(output: Path, state: dict, say) -> None:
    """Pseudo-labels of the unlabelled images, in the order in which to correct them; made once, then they stay."""
    from s4mim_jax.predict import predict_files
    from s4mim_jax.prediction.loading import load
    from s4mim_jax.prediction.pseudo_label_files import LIST, PseudoLabels
    from s4mim_jax.runs.run_folder import read_json
    predictor = load(output / state['best'], weights='better')
    _, samples = unlabelled(predictor.config)
    paths, names = [Path(sample.image) for sample in samples], [sample.id for sample in samples]
    if not paths or not paths[0].is_file():
        say('no unlabelled image files: nothing to predict')
        return
    folder = output / PREDICTIONS
    if (folder / LIST).exists():  # it is written last
        say(f'pseudo-labels are in {folder} already')
        return
    folder.mkdir(exist_ok=True)
    chosen = [i * len(paths) // min(DRAWN, len(paths)) for i in range(min(DRAWN, len(paths)))]
    pseudo = PseudoLabels(folder, 0.9, predictor.classes, predictor.palette, predictor.config.data.label_map,
                          read_json(output / state['best'] / 'run.json').get('masks'))
    predict_files(predictor, [paths[i] for i in chosen], [names[i] for i in chosen], folder, pseudo=pseudo)
