"""What the simulated cell lets one choose, for whoever lists it; free of physics and of every library.

The tasks, and what a policy is told to do in each; where the front camera is.
"""

TABLE = {  # of one model, and known to the shipped checkpoints
    "banana": "put the banana on the blue plate",
    "box": "close the box",
    "laptop": "close the laptop",
    "fridge": "close the fridge",
    "umbrella": "take the umbrella out of the stand",
}
HEIGHT = {  # of models of their own: where things are in space is not to be had from where they are in the image
    "button": "press the red button",
    "button_blue": "press the blue button",
    "higher": "press the higher button",
    "stack": "lift the banana onto the blue plate",
}
INSTRUCTIONS = TABLE | HEIGHT

FIXED, ANYWHERE = "fixed", "anywhere"
VIEWPOINTS = (FIXED, ANYWHERE)  # of the front camera: as the cameras file says, or drawn; see `viewpoint.py`
