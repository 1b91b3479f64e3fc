"""What a run says of its config before it begins."""

import tiny

from s4mim_jax.config.command_line import load_config
from s4mim_jax.runs.advice import warnings


def test_a_coarse_map_is_told_to_class_wise_terms_alone():
    coarse, fine = (load_config('configs/shapes.py:s4mim', [('model.output_stride', stride)]) for stride in ('16', '8'))
    assert [line.partition('=')[0] for line in warnings(coarse)] == [
        '--config.method.class_wise_mim', '--config.method.feature_aggregation']
    assert all('has 6 positions a side' in line for line in warnings(coarse))
    assert warnings(fine) == []
    assert warnings(load_config('configs/shapes.py:maskmatch', [])) == []


def test_rates_past_the_map_are_told_in_one_line():
    config = tiny.config('supervised', crop=(64, 96), model__aspp_rates=(2, 4, 6), model__output_stride=16)
    line, = warnings(config)
    assert 'rates 4, 6 are not below' in line and 'stride 16' in line
    config.model.aspp_rates = (2, 3, 4)
    assert 'rate 4 is not below' in warnings(config)[0]
