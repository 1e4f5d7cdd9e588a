"""Pictures of a computation graph: `draw(tensor).save("graph.svg")`.

Snapshot (`tinygrad_edu.graph`) -> view (`view.py`: the words in the boxes) -> layout (`layout.py`:
where the boxes go, numbers only) -> text (`svg.py`, `text.py`). Each step reads only the one
before it.
"""

from viz.drawing import Drawing, draw

__all__ = ["Drawing", "draw"]
