"""Pictures of a computation graph: `draw(tensor).save("graph.svg")`, `explain(loss)`.

Snapshot (`tinygrad_edu.graph`) -> plan (`folding.py`: what is drawn, and what as one) -> view
(`view.py`: the words in the boxes) -> layout (`layout.py`: where the boxes go, numbers only) ->
text (`svg.py`, `text.py`). Each step reads only those before it. `explain.py` makes the page that
steps through the chain rule (`steps.py`, `equation.py`, `page.py`), on the same view.
"""

from viz.drawing import Drawing, draw
from viz.explain import explain

__all__ = ["Drawing", "draw", "explain"]
