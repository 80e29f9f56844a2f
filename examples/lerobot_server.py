"""A policy that lerobot trained, behind OpenPI's protocol; runs in lerobot's own environment, without tristage_ros.

    pip install msgpack "websockets>=13"        # beside lerobot
    python lerobot_server.py outputs/train/act/checkpoints/last/pretrained_model --device cuda

It takes observations by the names of the policy's inputs (observation.state, observation.images.front, ...), images as
uint8 [H, W, 3] in the size that its metadata tell, and answers with a chunk under `action`, in the numbers of the
dataset that it learnt from: map:=tristage is for what `tristage dataset export` wrote; a copy of it has that size.
"""

from __future__ import annotations

import argparse
import time
import traceback

import msgpack
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve


def as_map(value):
    """Pack an array as openpi-client does."""
    return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}


def as_array(told):
    """Unpack what `as_map` packed."""
    return np.ndarray(told[b"shape"], told[b"dtype"], bytearray(told[b"data"])) if b"__ndarray__" in told else told


class LerobotPolicy:
    """Load a policy with its processors, and answer observations with chunks of actions."""

    def __init__(self, path, device):
        """Load from a folder `pretrained_model`, or from the Hub."""
        from lerobot.configs.policies import PreTrainedConfig
        from lerobot.policies.factory import get_policy_class, make_pre_post_processors

        config = PreTrainedConfig.from_pretrained(path)
        config.device = self.device = device
        self.policy = get_policy_class(config.type).from_pretrained(path, config=config).to(device).eval()
        on = {"device_processor": {"device": device}}
        self.before, self.after = make_pre_post_processors(config, path, preprocessor_overrides=on)
        self.inputs = {name: list(feature.shape) for name, feature in config.input_features.items()}
        self.metadata, self.reset = {"policy": config.type, "inputs": self.inputs}, self.policy.reset

    def answer(self, observation):
        """Return the chunk [steps, width] for an observation."""
        import torch

        if missing := [name for name in self.inputs if name not in observation]:
            raise KeyError(f"the observation lacks {', '.join(missing)}; it has {', '.join(observation)}")
        batch = {"task": observation.get("prompt", ""), "robot_type": ""}
        for name in self.inputs:
            told = torch.from_numpy(observation[name]).to(self.device)
            batch[name] = (told.permute(2, 0, 1).float() / 255 if told.ndim == 3 else told.float())[None]
        with torch.inference_mode():
            chunk = self.policy.predict_action_chunk(self.before(batch))
            steps = [self.after(chunk[:, k]) for k in range(chunk.shape[1])]
        return torch.stack(steps, 1)[0].float().cpu().numpy()


def serving(policy, host, port):
    """Return a server of `policy`; a new connection is a new beginning, a text frame the traceback of a failure."""

    def handler(connection):
        policy.reset()
        try:
            connection.send(msgpack.packb(policy.metadata))
            while True:
                asked, begun = msgpack.unpackb(connection.recv(), object_hook=as_array), time.perf_counter()
                told = {"action": policy.answer(asked)}
                told["server_timing"] = {"infer_ms": 1e3 * (time.perf_counter() - begun)}
                connection.send(msgpack.packb(told, default=as_map))
        except ConnectionClosed:
            pass
        except Exception:
            connection.send(traceback.format_exc())
            raise

    health = {"process_request": lambda asked, to: asked.respond(200, "OK\n") if to.path == "/healthz" else None}
    return serve(handler, host, port, compression=None, max_size=None, **health)


def main():
    """Serve one policy until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("policy", help="folder pretrained_model of a run, or a name on the Hub")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    policy = LerobotPolicy(options.policy, options.device)
    print(policy.metadata, flush=True)
    serving(policy, "0.0.0.0", options.port).serve_forever()


if __name__ == "__main__":
    main()
