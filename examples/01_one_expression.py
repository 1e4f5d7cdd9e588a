"""One expression: what a computation graph is, and what `backward()` does with it.

Every operation on a Tensor computes its result *and* remembers what it was made of. `backward()`
walks that memory from the result to the leaves. At each operation it multiplies the gradient that
arrives (the upstream gradient) by the operation's own derivative (the local gradient), and adds
what comes out to the gradient of the operand. That is the chain rule, and nothing else happens.
"""

import math

import numpy as np

import tinygrad_edu as tg

x = tg.Tensor(2.0, requires_grad=True, name="x")
y = tg.Tensor(3.0, requires_grad=True, name="y")
f = x * y + np.sin(x)

print(f"f = x*y + sin x at (2, 3): {f:.4f}")
print("made by", f.node.op.name, "of", [tensor.node.op.name for tensor in f.node.inputs])

print("\nthe backward pass, edge by edge (contribution = upstream gradient x local gradient):")
with tg.observe(
    lambda edge: print(
        f"  {edge.op:>8} -> {edge.input.name or edge.input.node.op.name:<8}"
        f" upstream {edge.upstream:.4f}   contribution {edge.contribution:+.4f}"
        f"   gradient so far {edge.after:+.4f}"
    )
):
    f.backward()

print("\n         engine   by hand")
print(
    f"df/dx  {x.grad:8.4f}  {3 + math.cos(2):8.4f}   (y + cos x: two paths lead to x, so it adds)"
)
print(f"df/dy  {y.grad:8.4f}  {2.0:8.4f}   (x)")

print("\nthe same as a NumPy program, written by the engine:\n")
print(tg.trace(lambda x, y: x * y + np.sin(x), 2.0, 3.0))
