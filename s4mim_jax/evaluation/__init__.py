"""Evaluation: predicting whole images, counting, and writing the result down."""

from s4mim_jax.evaluation.confusion import confusion_matrix, scores
from s4mim_jax.evaluation.evaluator import describe, evaluate, local_mesh, make_evaluator, network
from s4mim_jax.evaluation.inference import MODES, infer, protocol_from
from s4mim_jax.evaluation.results import format_table, write_result

__all__ = ['MODES', 'confusion_matrix', 'describe', 'evaluate', 'format_table', 'infer', 'local_mesh',
           'make_evaluator', 'network', 'protocol_from', 'scores', 'write_result']
