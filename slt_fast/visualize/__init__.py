"""Pictures and animations: clips with their flow, and where a model looks.

`drawing` has the pieces of all pictures, `flow` and `attention` make pictures of them, `files`
writes pictures, animations and videos.
"""

from slt_fast.visualize.attention import attention_animation, attention_sheet
from slt_fast.visualize.drawing import fitted, page
from slt_fast.visualize.files import ANIMATIONS, VIDEOS, write_animation, write_png, write_video
from slt_fast.visualize.flow import flow_animation, flow_sheet

__all__ = [
    "ANIMATIONS",
    "VIDEOS",
    "attention_animation",
    "attention_sheet",
    "fitted",
    "flow_animation",
    "flow_sheet",
    "page",
    "write_animation",
    "write_png",
    "write_video",
]
