"""A JAX function as an ONNX graph (ours): traced once, then written operation by operation.

`to_onnx(function, image_shape)` takes what a network in evaluation mode is made of: convolutions, matrix products,
pooling, elementwise arithmetic, reductions and movements of axes. An operation that is not known is refused by name.
Every network of this project is written so, a new layer too, as it is the traced operations that are read and not the
modules. Needs the package `onnx`; importing this module does not.
"""

from s4mim_jax.onnx_graph.convert import to_onnx

__all__ = ['to_onnx']
