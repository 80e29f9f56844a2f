"""The tasks of the simulated cell and what a policy is told to do in each; free of physics, for whoever lists them."""

INSTRUCTIONS = {
    "banana": "put the banana on the blue plate",
    "box": "close the box",
    "laptop": "close the laptop",
    "fridge": "close the fridge",
    "umbrella": "take the umbrella out of the stand",
}
